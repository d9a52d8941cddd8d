"""Any folder of images becomes a data set: what differs is converted and said, what is broken is skipped and listed."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from kakusan.data.decode import Conversion, Picture, Unreadable, check_shape, decode, describe
from kakusan.data.find import classes_of, find_images
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError


def folder(
    path: str | Path, *, size: int | None = None, channels: int | None = None, max_broken: float = 0.05
) -> ImageSet:
    """Reads every image below a folder; its sub-folders, if it has any, are the classes.

    Args:
        path: The folder.
        size: Side of the square images that come out: shorter side resized, antialiased, middle kept. None keeps the
            size, which must then be the same for all.
        channels: 1 (grey) or 3 (RGB). None is 1 where every image is grey.
        max_broken: Share of files that may be unreadable, in [0, 1].

    Raises:
        KakusanError: There is no such folder or no image in it, too many are broken, sizes differ and ``size`` is
            None, or images lie both in the folder itself and in sub-folders.
    """
    check_shape(size, channels)
    if not 0 <= max_broken <= 1:
        raise KakusanError(f"the share of broken images that is allowed lies between 0 and 1, not {max_broken}")
    root = Path(path)
    files = find_images(root)
    class_names, classes = classes_of(root, files)

    stack = _Stack(len(files), channels)
    conversions: Counter[Conversion] = Counter()
    kept: list[int] = []
    skipped: list[tuple[str, str]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for index, picture in enumerate(_decode_all([root / file for file in files], size, grey=channels == 1)):
            if isinstance(picture, Unreadable):
                skipped.append((files[index], picture.reason))
                continue
            stack.add(picture, files[index])
            conversions.update(picture.conversions)
            kept.append(index)
    _refuse_broken(root, skipped, len(files), max_broken)

    if stack.grey and stack.pixels.shape[1] == 3:
        conversions["grey", "RGB"] = stack.grey
    return ImageSet(
        images=torch.from_numpy(stack.pixels[: len(kept)]),
        labels=None if classes is None else torch.tensor([classes[index] for index in kept]),
        class_names=class_names,
        name=root.resolve().name,
        notes=tuple(describe(*conversion, count) for conversion, count in conversions.items()),
        skipped=tuple(skipped),
    )


class _Stack:
    """Images of one shape in one array, allocated once when the first of them has told its shape."""

    def __init__(self, count: int, channels: int | None) -> None:
        self.count, self.channels = count, channels
        self.pixels: NDArray[np.uint8] = np.empty((count, 0, 0, 0), np.uint8)
        self.filled = self.grey = 0

    def add(self, picture: Picture, name: str) -> None:
        """Appends an image; grey ones fill all channels."""
        channels, *size = picture.pixels.shape
        if self.filled == 0:
            self.pixels = self._allocate((self.channels or channels, *size))
        if list(self.pixels.shape[2:]) != size:
            (height, width), (rows, columns) = size, self.pixels.shape[2:]
            raise KakusanError(
                f"images differ in size: {name} is {width}×{height}, those before it {columns}×{rows} "
                f"(set --data.size to resize and crop them all, or make them one size)"
            )
        if channels > self.pixels.shape[1]:
            # The first colour among grey images, at most once a stack.
            self.pixels = np.repeat(self.pixels, channels, axis=1)
        self.pixels[self.filled] = picture.pixels
        self.filled += 1
        self.grey += channels == 1

    def _allocate(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        try:
            return np.empty((self.count, *shape), np.uint8)
        except MemoryError as error:
            size, need = f"{shape[2]}×{shape[1]}", self.count * np.prod(shape) / 2**30
            raise KakusanError(
                f"{self.count:,} images of {size} need {need:,.0f} GiB of memory (set a smaller --data.size)"
            ) from error


def _decode_all(paths: list[Path], size: int | None, grey: bool) -> Iterator[Picture | Unreadable]:
    """Decodes on all cores, in order."""
    with ThreadPool(os.cpu_count()) as pool:
        yield from pool.imap(partial(decode, size=size, grey=grey), paths, chunksize=16)


def _refuse_broken(root: Path, skipped: list[tuple[str, str]], count: int, max_broken: float) -> None:
    if len(skipped) <= max_broken * count and len(skipped) < count:
        return
    shown = ", ".join(f"{name} ({reason})" for name, reason in skipped[:5])
    more = f" and {len(skipped) - 5:,} more" if len(skipped) > 5 else ""
    raise KakusanError(
        f"{len(skipped):,} of {count:,} images in {root} cannot be read, where {max_broken:.0%} may be: "
        f"{shown}{more} (remove them, or raise --data.max_broken)"
    )
