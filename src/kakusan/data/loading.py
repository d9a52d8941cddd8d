"""From the name of a data source to its images, in memory; those of a prepared cache stay in their file."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

import numpy as np
import torch
from numpy.typing import NDArray

from kakusan.data.images import ImageSet
from kakusan.data.reading import Append, check_wishes, take
from kakusan.data.sources import open_source
from kakusan.data.sources.held import Held
from kakusan.devices import memory, processes_here
from kakusan.errors import KakusanError

_SHARE_OF_MEMORY = 0.5


def load(
    source: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    max_broken: float = 0.05,
    show: bool = True,
) -> ImageSet:
    """Returns the images of a source.

    Args:
        source: ``"digits"`` or ``"cifar10"``; the path of a folder, an archive, a parquet file or a prepared cache; or
            ``"hub:OWNER/NAME"``. Sub-folders are classes.
        size: Side of the square images that come out: shorter side resized, antialiased, middle kept. None keeps the
            size, which must then be the same for all.
        channels: 1 (grey) or 3 (RGB). None is 1 where every image is grey.
        max_broken: Share of entries that may be unreadable, in [0, 1].
        show: Whether to show progress.

    Raises:
        KakusanError: There is no such source, it cannot be read as asked, too many of its images are broken, or they
            need more than half of the memory.
    """
    check_wishes(size, channels, max_broken)
    listed = open_source(source)
    if isinstance(listed, Held) and _is_as_asked(listed.images.shape, size, channels):
        return listed.whole()
    pixels: NDArray[np.uint8] = np.empty(0, np.uint8)

    def begin(shape: tuple[int, int, int]) -> Append:
        nonlocal pixels
        _refuse_too_large(str(source), len(listed), shape)
        pixels = np.empty((len(listed), *shape), np.uint8)
        rows = iter(pixels)
        return lambda image: np.copyto(next(rows), image)

    taken = take(listed, begin, size=size, channels=channels, max_broken=max_broken, show=show)
    labels, captions = listed.labels, listed.captions
    return ImageSet(
        images=torch.from_numpy(pixels[: len(taken.kept)]),
        labels=None if labels is None else torch.tensor([labels[index] for index in taken.kept]),
        class_names=listed.class_names,
        name=listed.name,
        captions=tuple(captions[index] for index in taken.kept) if captions else (),
        notes=taken.notes,
        skipped=taken.skipped,
        names=tuple(listed.entry(index) for index in taken.kept),
    )


def _is_as_asked(shape: Sequence[int], size: int | None, channels: int | None) -> bool:
    return channels in (None, shape[0]) and (size is None or list(shape[1:]) == [size, size])


def _refuse_too_large(source: str, count: int, shape: tuple[int, int, int]) -> None:
    need, there = processes_here() * count * int(np.prod(shape)), memory()
    if there is not None and need > _SHARE_OF_MEMORY * there:
        wanted = f" --size {shape[1]}" if shape[1] == shape[2] else ""
        raise KakusanError(
            f"{count:,} images of {shape[2]}×{shape[1]} need {need / 2**30:,.1f} GiB, more than half of this machine's "
            f"{there / 2**30:,.1f} GiB of memory: write them into a file, from which a run trains without loading it "
            f"(kakusan data prepare {quote(source)}{wanted} -o images.safetensors), or set a smaller --data.size"
        )
