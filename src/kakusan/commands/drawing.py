"""From a plan to picture files: every chunk is written as soon as it is drawn, so that Ctrl-C keeps what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from kakusan import pictures
from kakusan.commands.options import FILM_IMAGES
from kakusan.commands.output import Interrupted
from kakusan.commands.stamp import Stamp
from kakusan.errors import KakusanError
from kakusan.files import replacing
from kakusan.progress import Bar
from kakusan.sampling import Plan

_GRID_IMAGES = 256
_FILM_STEPS = 12


def draw(plan: Plan, stamp: Stamp, directory: Path, film: bool) -> list[str]:
    """Draws images of a plan, in the chunks that they belong to, and returns the names of their files.

    Pictures of a whole set replace those of the same run that are in the directory, with which they would mix.

    Args:
        plan: What is drawn.
        stamp: Which of its images, and what the files shall say of them.
        directory: Where to, beside ``grid.png`` where there are several; it need not exist.
        film: Whether to write ``trajectory.png`` as well: how the first of them emerge.

    Raises:
        KakusanError: The disk refuses a file; the directory is as it was.
        Interrupted: Ctrl-C; images that are done are kept, and without any the directory is as it was.
    """
    digits = max(4, len(str(plan.n - 1)))
    names = {index: f"{index:0{digits}}.png" for index in stamp.images}
    sheets = ["grid.png"] * (len(names) > 1) + ["trajectory.png"] * film
    earlier = _pictures_of(stamp.run, directory) if stamp.index is None else []
    done = 0
    with replacing(directory, [*names.values(), *sheets], earlier):
        try:
            _draw(plan, stamp, directory, names, sheets)
        except KeyboardInterrupt:
            done = sum((directory / name).exists() for name in names.values())
            if not done:
                raise Interrupted("interrupted before the first image was done: nothing was written") from None
    if done:
        raise Interrupted(f"interrupted: {done} of {len(names)} images are in {directory}")
    return list(names.values())


def _pictures_of(run: str, directory: Path) -> list[str]:
    """Returns the names of the pictures in a directory that say that they were drawn from a run."""
    found = []
    for path in directory.glob("*.png"):
        with suppress(KakusanError):
            if pictures.read_metadata(path).get("run") == run:
                found.append(path.name)
    return found


def _draw(plan: Plan, stamp: Stamp, directory: Path, names: Mapping[int, str], sheets: Sequence[str]) -> None:
    """Does what :func:`draw` says; every file appears as soon as it can."""
    wanted = stamp.images
    chunks = [chunk for chunk in plan.chunks() if chunk.start < wanted.stop and wanted.start < chunk.stop]
    shown: list[Tensor] = []
    with Bar("sampling", plan.steps * len(chunks)) as bar:
        for number, chunk in enumerate(chunks):
            images = range(max(chunk.start, wanted.start), min(chunk.stop, wanted.stop))
            rows = slice(images.start - chunk.start, images.stop - chunk.start)
            frames = _walk(plan, chunk, rows, number, bar)
            for index, image in zip(images, frames[-1], strict=True):
                pictures.save(directory / names[index], image, stamp.metadata(index))
            shown.append(frames[-1][: _GRID_IMAGES - sum(map(len, shown))])
            if "trajectory.png" in sheets and number == 0:
                strip = pictures.film_strip([frame[:FILM_IMAGES] for frame in frames])
                pictures.save(directory / "trajectory.png", pictures.legible(strip, plan.shape[-1]), stamp.metadata())
    if "grid.png" in sheets:
        grid = pictures.grid(torch.cat(shown), _columns(stamp))
        pictures.save(directory / "grid.png", pictures.legible(grid, plan.shape[-1]), stamp.metadata())


def _walk(plan: Plan, chunk: range, rows: slice, number: int, bar: Bar) -> list[Tensor]:
    """Returns some of the wanted images at a few steps of their walk, on the CPU; all of them at the last one."""
    kept = {round(i * (plan.steps - 1) / max(1, _FILM_STEPS - 1)) for i in range(_FILM_STEPS)}
    frames = []
    for step in plan.walk(chunk):
        bar.update(number * plan.steps + step.index + 1)
        if step.index == plan.steps - 1:
            frames.append(plan.pictures(step.x[rows]).cpu())
        elif step.index in kept:
            frames.append(plan.pictures(step.x[rows][:FILM_IMAGES]).cpu())
    return frames


def _columns(stamp: Stamp) -> int | None:
    """Returns a column a label, where they are few enough to stand beside each other."""
    return len(stamp.labels) if stamp.labels is not None and 1 < len(stamp.labels) <= 16 else None
