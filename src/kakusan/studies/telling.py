"""From a run directory to what a report tells of it: what its files say, and a few pictures drawn from its weights."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import torch

from kakusan import api, build, config
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.files import atomic_write
from kakusan.model import Model
from kakusan.pictures import from_uint8
from kakusan.progress import say as tell_user
from kakusan.reporting.language import language
from kakusan.reporting.report import render
from kakusan.reporting.story import Story
from kakusan.runs import Run

_COLUMNS = 10
_SEED = 0
_SHOWN_LABEL = 3


def write_report(run: Run, lang: str, *, device: str = "auto", show: bool = True) -> None:
    """Writes ``report.html`` into a run, finished or not.

    Args:
        run: The run.
        lang: Language of the report.
        device: Where its pictures are drawn.
        show: Whether to show progress.

    Raises:
        KakusanError: There is no such language; a checkpoint is damaged; or the page cannot be written.
    """
    atomic_write(run.path / "report.html", render(language(lang), tell(run, device=device, show=show)))
    if show:
        tell_user(f"report written to {run.path / 'report.html'}")


def tell(run: Run, *, device: str = "auto", show: bool = True) -> Story:
    """Gathers what there is to tell of a run: its books, its measurements, and pictures from its last checkpoint."""
    settings = config.load(run.config_path)
    lines = run.metrics()
    metrics = _measured(run, lines)
    data = _data(settings)
    original = None if data is None else from_uint8(data.images[0])
    if not run.checkpoints():
        seen = max((line.get("images", 0) for line in lines), default=0)
        return Story(
            run.name, settings, images=seen, metrics=metrics, lines=lines, machine=machine(), original=original
        )
    state = run.checkpoint().state()
    model = api.load(run, device=device)
    classes = max(1, len(model.class_names))
    labels = [label for label in range(classes) for _ in range(_COLUMNS)] if model.class_names else None
    return Story(
        run.name,
        settings,
        images=state["images"],
        total_images=state["total_images"],
        parameters=sum(parameter.numel() for parameter in model.denoiser.parameters()),
        class_names=model.class_names,
        metrics=metrics,
        lines=lines,
        machine=machine(),
        original=original,
        samples=api.sample(model, n=classes * _COLUMNS, labels=labels, seed=_SEED, show=show).cpu(),
        walk=_walk(model),
    )


def machine() -> str:
    """Returns what this machine is, in a line."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"{where}, {platform.machine()}, Python {platform.python_version()}, torch {version('torch')}"


def _measured(run: Run, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the last evaluation with, over it, what ``metrics.json`` holds."""
    judged = [line["evaluation"] for line in lines if "evaluation" in line]
    return {**(judged[-1] if judged else {}), **run.measured()}


def _data(settings: config.Config) -> ImageSet | None:
    """Returns the images that a run learns from; None where they are not to be had any more."""
    with suppress(KakusanError):
        return build.images(settings.data)
    return None


def _walk(model: Model) -> list[tuple[float, torch.Tensor, torch.Tensor]]:
    labels = [_SHOWN_LABEL % len(model.class_names)] if model.class_names else None
    steps = api.walk(model, n=1, labels=labels, seed=_SEED)
    return [(float(step.t), step.x[0].cpu(), step.x0[0].cpu()) for step in steps]
