"""Handing the lines of ``metrics.jsonl`` on to a program that draws them while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from kakusan.errors import KakusanError
from kakusan.runs import Run

_PROJECT = "kakusan"
_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",), "trackio": ("trackio",)}


def require(name: str | None) -> None:
    """Refuses a tracker whose package is not there.

    Raises:
        KakusanError: It names the package.
    """
    if name is not None and not any(map(find_spec, _PACKAGES[name])):
        package = _PACKAGES[name][0]
        raise KakusanError(
            f"training.tracker {name} needs the package {package}, which is not installed (pip install {package}, or "
            "leave training.tracker out: metrics.jsonl is written anyway)"
        )


@contextmanager
def tracking(name: str | None, run: Run | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yields what hands a line on: its numbers, and those of its lists one by one, at its step.

    Args:
        name: ``tensorboard``, whose files lie in the run directory, ``wandb`` or ``trackio``; None hands on nothing.
        run: The run; without one there is nothing to hand on either.
    """
    if name is None or run is None:
        yield lambda line: None
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    if name == "tensorboard":
        tracker = LOGGER_TYPE_TO_CLASS[name](name, run.path)
    else:
        tracker = LOGGER_TYPE_TO_CLASS[name](_PROJECT, name=run.name)
    getattr(tracker, "start", lambda: None)()  # earlier versions of accelerate start when they are made
    try:
        yield lambda line: tracker.log(_numbers(line), step=line["step"])
    finally:
        tracker.finish()


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, value in line.items():
        numbers |= {f"{name}/{i}": part for i, part in enumerate(value)} if isinstance(value, list) else {name: value}
    return numbers
