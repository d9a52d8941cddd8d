"""From a plan to picture files: every chunk is written as soon as it is drawn, so that Ctrl-C keeps what was done."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from kakusan import pictures
from kakusan.commands.options import FILM_IMAGES
from kakusan.commands.output import Interrupted
from kakusan.commands.stamp import Stamp
from kakusan.errors import KakusanError
from kakusan.progress import Bar
from kakusan.sampling import Plan

_GRID_IMAGES = 256
_FILM_STEPS = 12


def draw(plan: Plan, stamp: Stamp, directory: Path, film: bool) -> list[str]:
    """Draws images of a plan, in the chunks that they belong to, and returns the names of their files.

    Args:
        plan: What is drawn.
        stamp: Which of its images, and what the files shall say of them.
        directory: Where to, beside ``grid.png`` where there are several.
        film: Whether to write ``trajectory.png`` as well: how the first of them emerge.

    Raises:
        KakusanError: The disk refuses a file.
        Interrupted: Ctrl-C; finished chunks are kept.
    """
    names: list[str] = []
    try:
        _draw(plan, stamp, directory, film, names)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: {len(names)} of {len(stamp.images)} images are in {directory}") from None
    return names


def clear(directory: Path, run: str) -> None:
    """Removes the pictures of a run that an earlier call wrote, so that they do not mix with new ones; nothing else."""
    for path in directory.glob("*.png"):
        with suppress(KakusanError):
            if pictures.read_metadata(path).get("run") == run:
                path.unlink()


def _draw(plan: Plan, stamp: Stamp, directory: Path, film: bool, names: list[str]) -> None:
    """Does what :func:`draw` says, and adds to the ``names`` as files appear."""
    wanted = stamp.images
    chunks = [chunk for chunk in plan.chunks() if chunk.start < wanted.stop and wanted.start < chunk.stop]
    digits = max(4, len(str(plan.n - 1)))
    shown: list[Tensor] = []
    with Bar("sampling", plan.steps * len(chunks)) as bar:
        for number, chunk in enumerate(chunks):
            images = range(max(chunk.start, wanted.start), min(chunk.stop, wanted.stop))
            rows = slice(images.start - chunk.start, images.stop - chunk.start)
            frames = _walk(plan, chunk, rows, number, bar)
            for index, image in zip(images, frames[-1], strict=True):
                name = f"{index:0{digits}}.png"
                pictures.save(directory / name, image, stamp.metadata(index))
                names.append(name)
            shown.append(frames[-1][: _GRID_IMAGES - sum(map(len, shown))])
            if film and number == 0:
                strip = pictures.film_strip([frame[:FILM_IMAGES] for frame in frames])
                pictures.save(directory / "trajectory.png", pictures.legible(strip, plan.shape[-1]), stamp.metadata())
    if len(wanted) > 1:
        grid = pictures.grid(torch.cat(shown), _columns(stamp))
        pictures.save(directory / "grid.png", pictures.legible(grid, plan.shape[-1]), stamp.metadata())


def _walk(plan: Plan, chunk: range, rows: slice, number: int, bar: Bar) -> list[Tensor]:
    """Returns some of the wanted images at a few steps of their walk, on the CPU; all of them at the last one."""
    kept = {round(i * (plan.steps - 1) / max(1, _FILM_STEPS - 1)) for i in range(_FILM_STEPS)}
    frames = []
    for step in plan.walk(chunk):
        bar.update(number * plan.steps + step.index + 1)
        if step.index == plan.steps - 1:
            frames.append(step.x[rows].cpu())
        elif step.index in kept:
            frames.append(step.x[rows][:FILM_IMAGES].cpu())
    return frames


def _columns(stamp: Stamp) -> int | None:
    """Returns a column a label, where they are few enough to stand beside each other."""
    return len(stamp.labels) if stamp.labels is not None and 1 < len(stamp.labels) <= 16 else None
