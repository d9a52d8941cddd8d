"""Handing the lines of ``metrics.jsonl`` on to a program that draws them while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from kakusan import config
from kakusan.errors import KakusanError, reason_of
from kakusan.results import values_in
from kakusan.runs import Run

Log = Callable[[dict[str, float], int], object]
Finish = Callable[[], object]

_PROJECT = "kakusan"


def require(name: str | None) -> None:
    """Refuses a tracker whose package is not there.

    Raises:
        KakusanError: It names the package.
    """
    if name is not None and not find_spec(name):
        raise KakusanError(
            f"training.tracker {name} needs the package {name}, which is not installed (pip install {name}, or leave "
            "training.tracker out: metrics.jsonl is written anyway)"
        )


@contextmanager
def tracking(name: str | None, run: Run | None, step: int = 0) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yields what hands a line on: its numbers, those of its lists and of its measurements one by one, at its step.

    A tracker that fails in the middle is told once for each reason and asked again with the next line.

    Args:
        name: ``tensorboard``, whose files lie in the run directory, ``wandb`` or ``trackio``, where a run that goes on
            goes on too; None hands on nothing.
        run: The run; without one there is nothing to hand on either.
        step: That from which it goes on.

    Raises:
        KakusanError: It does not start.
    """
    if name is None or run is None:
        yield lambda line: None
        return
    settings = config.flat(config.load(run.config_path))
    try:
        log, finish = _START[name](run, settings, step)
    # It may want a login, a network or a newer version of itself: each has errors of its own.
    except Exception as error:
        raise KakusanError(
            f"training.tracker {name} does not start: {reason_of(error)} (mend that, or leave training.tracker out: "
            "metrics.jsonl is written anyway)"
        ) from error
    told: set[str] = set()

    @contextmanager
    def going_on() -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is, training is worth more
            if (reason := reason_of(error)) not in told:
                told.add(reason)
                run.log(f"{name} failed: {reason}")

    def hand_on(line: Mapping[str, Any]) -> None:
        with going_on():
            log(_numbers(line), line["step"])

    try:
        yield hand_on
    finally:
        with going_on():
            finish()


def _tensorboard(run: Run, settings: dict[str, Any], step: int) -> tuple[Log, Finish]:
    from torch.utils.tensorboard import SummaryWriter

    place = run.path / "tensorboard"
    writer, last = SummaryWriter(place, purge_step=step + 1), step

    def log(numbers: dict[str, float], step: int) -> None:
        nonlocal writer, last
        if step < last:  # training went back: what it told from here on counts no more
            writer.close()
            writer = SummaryWriter(place, purge_step=step)
        last = step
        for name, number in numbers.items():
            writer.add_scalar(name, number, step)

    return log, lambda: writer.close()


def _wandb(run: Run, settings: dict[str, Any], step: int) -> tuple[Log, Finish]:
    import wandb

    tracked = wandb.init(
        project=_PROJECT, name=run.name, id=run.identity, resume="allow", config=settings, dir=run.path
    )
    # Its own steps never fall, as those of a training do that goes back: what falls behind would be dropped.
    tracked.define_metric("*", step_metric="images")
    return lambda numbers, step: tracked.log(numbers), tracked.finish


def _trackio(run: Run, settings: dict[str, Any], step: int) -> tuple[Log, Finish]:
    import trackio

    tracked = trackio.init(project=_PROJECT, name=run.identity, resume="allow", config=settings)
    return lambda numbers, step: tracked.log(numbers, step=step), tracked.finish


_START = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    numbers: dict[str, float] = {f"samples/{name}": value.value for name, value in values_in(line).items()}
    for name, value in line.items():
        parts = {f"{name}/{i}": part for i, part in enumerate(value)} if isinstance(value, list) else {name: value}
        numbers |= {name: part for name, part in parts.items() if isinstance(part, (int, float)) and name != "step"}
    return numbers
