"""From a plan to picture files: every chunk is written as soon as it is drawn, so that Ctrl-C keeps what was done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
_FILM = "trajectory.png"

Drawn = Iterator[tuple[range, Sequence[Tensor]]]
"""Some images after the other: which they are, and what they were like on the way and, last, at its end; on the CPU,
shape (B, C, H, W), in [−1, 1], of a way's beginning of only the first few."""


def draw(plan: Plan, stamp: Stamp, directory: Path, film: bool) -> list[str]:
    """Draws images of a plan, in the chunks that they belong to; else as :func:`write`."""
    wanted = stamp.images
    chunks = [chunk for chunk in plan.chunks() if chunk.start < wanted.stop and wanted.start < chunk.stop]
    with Bar("sampling", plan.steps * len(chunks)) as bar:
        return write(_walked(plan, chunks, wanted, bar), stamp, directory, film)


def write(drawn: Drawn, stamp: Stamp, directory: Path, film: bool = False) -> list[str]:
    """Writes images as soon as they are drawn, and returns the names of their files.

    Pictures of a whole set replace those in the directory with which they would mix.

    Args:
        drawn: They are drawn as it goes.
        stamp: Which of the set they are, and what the files shall say of them.
        directory: Where to, beside ``grid.png`` where there are several; it need not exist.
        film: Whether to write ``trajectory.png`` as well: how the first of them emerge.

    Raises:
        KakusanError: The disk refuses a file; the directory is as it was.
        Interrupted: Ctrl-C; images that are done are kept, and without any the directory is as it was.
    """
    digits = max(4, len(str(stamp.n - 1)))
    names = {index: f"{index:0{digits}}.png" for index in stamp.images}
    sheets = ["grid.png"] * (len(names) > 1) + [_FILM] * film
    earlier = _mixing(stamp, directory) if stamp.index is None else []
    done = 0
    with replacing(directory, [*names.values(), *sheets], earlier):
        try:
            _write(drawn, stamp, directory, names, sheets)
        except KeyboardInterrupt:
            done = sum((directory / name).exists() for name in names.values())
            if not done:
                raise Interrupted("interrupted before the first image was done: nothing was written") from None
    if done:
        raise Interrupted(f"interrupted: {done} of {len(names)} images are in {directory}")
    return list(names.values())


def _mixing(stamp: Stamp, directory: Path) -> list[str]:
    """Returns the names of the pictures in a directory that would be taken for some of the set."""
    found = []
    for path in directory.glob("*.png"):
        with suppress(KakusanError):
            if stamp.mixes_with(pictures.read_metadata(path)):
                found.append(path.name)
    return found


def _write(drawn: Drawn, stamp: Stamp, directory: Path, names: Mapping[int, str], sheets: Sequence[str]) -> None:
    """Does what :func:`write` says; every file appears as soon as it can."""
    shown: list[Tensor] = []
    for images, frames in drawn:
        for index, image in zip(images, frames[-1], strict=True):
            pictures.save(directory / names[index], image, stamp.metadata(index))
        if _FILM in sheets and not shown:
            strip = pictures.film_strip([frame[:FILM_IMAGES] for frame in frames])
            pictures.save(directory / _FILM, pictures.legible(strip, frames[-1].shape[-1]), stamp.metadata())
        shown.append(frames[-1][: _GRID_IMAGES - sum(map(len, shown))])
    if "grid.png" in sheets:
        grid = pictures.grid(torch.cat(shown), stamp.columns)
        pictures.save(directory / "grid.png", pictures.legible(grid, shown[0].shape[-1]), stamp.metadata())


def _walked(plan: Plan, chunks: Sequence[range], wanted: range, bar: Bar) -> Drawn:
    """Yields the wanted images of every chunk, with a few steps of their walk."""
    kept = {round(i * (plan.steps - 1) / max(1, _FILM_STEPS - 1)) for i in range(_FILM_STEPS)}
    for number, chunk in enumerate(chunks):
        images = range(max(chunk.start, wanted.start), min(chunk.stop, wanted.stop))
        rows = slice(images.start - chunk.start, images.stop - chunk.start)
        frames = []
        for step in plan.walk(chunk):
            bar.update(number * plan.steps + step.index + 1)
            if step.index == plan.steps - 1:
                frames.append(plan.pictures(step.x[rows]).cpu())
            elif step.index in kept:
                frames.append(plan.pictures(step.x[rows][:FILM_IMAGES]).cpu())
        yield images, frames
