"""Every picture of a source, decoded on all cores: what differs is converted and said, what is broken is skipped."""

import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kakusan.data.decode import Conversion, Picture, Unreadable, decode, describe
from kakusan.data.sources.source import AnySize, Source
from kakusan.devices import processes_here
from kakusan.errors import KakusanError, some
from kakusan.progress import Bar

Append = Callable[[NDArray[np.uint8]], None]
"""Takes one more image, bytes of shape (C, H, W)."""

_CHUNK = 16
_SHOWN = 5
T = TypeVar("T")


@dataclass(frozen=True)
class Taken:
    """What came of reading a source.

    Attributes:
        kept: Which entries were taken, in order.
        notes: What is to be said of the source, and each kind of conversion once, as a sentence.
        skipped: The entries that could not be read, and why.
    """

    kept: tuple[int, ...]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def check_wishes(size: int | None, channels: int | None, max_broken: float) -> None:
    """Refuses what :func:`take` cannot be asked for, before anything is opened.

    Raises:
        KakusanError: A side below 1 pixel, channels that are neither grey nor RGB, or a share outside [0, 1].
    """
    if size is not None and size < 1:
        raise KakusanError(f"the size of images must be at least 1 pixel, not {size}")
    if channels not in (None, 1, 3):
        raise KakusanError(f"channels must be 1 (grey) or 3 (RGB), not {channels}")
    if not 0 <= max_broken <= 1:
        raise KakusanError(f"the share of broken images that is allowed lies between 0 and 1, not {max_broken}")


class _ColourAmongGrey(Exception):  # noqa: N818 (no error: a discovery)
    pass


def take(
    source: Source,
    begin: Callable[[tuple[int, int, int]], Append],
    *,
    size: int | None,
    channels: int | None,
    max_broken: float,
    show: bool = True,
) -> Taken:
    """Decodes all of a source and hands every image on, in order.

    Args:
        source: What is read.
        begin: Told the shape (C, H, W) of all images, once the first is decoded, it returns what takes them. It is
            asked anew where colour turns up after grey images, and all of them come again.
        size: Side of the square images: shorter side resized, antialiased, middle kept. None keeps the size, which
            must then be the same for all.
        channels: 1 (grey) or 3 (RGB). None is 1 where every image is grey.
        max_broken: Share of entries that may be unreadable, in [0, 1].
        show: Whether to show progress.

    Raises:
        KakusanError: Too many entries are broken, or sizes differ and ``size`` is None.
    """
    if size is not None and isinstance(source, AnySize):
        source = source.at(size)
    try:
        return _take(source, begin, size, channels, max_broken, show)
    except _ColourAmongGrey:
        return _take(source, begin, size, 3, max_broken, show)


def on_all_cores(function: Callable[[int], T], count: int, show: bool = True) -> Iterator[T]:
    """Yields ``function`` of 0 … count − 1 in order, with a bar, and never far ahead of whoever consumes it."""
    cores = max(1, (os.cpu_count() or 1) // processes_here())

    def chunk(start: int) -> list[T]:
        return [function(index) for index in range(start, min(start + _CHUNK, count))]

    with ThreadPoolExecutor(cores) as pool, Bar("reading images", count, show=show) as bar:
        ahead: deque[Future[list[T]]] = deque()
        for start in range(0, count, _CHUNK):
            ahead.append(pool.submit(chunk, start))
            if len(ahead) > 4 * cores:
                yield from ahead.popleft().result()
                bar.update(start - _CHUNK * len(ahead))
        while ahead:
            yield from ahead.popleft().result()
            bar.update(count - _CHUNK * len(ahead))


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps Pillow's warnings from standard error; pictures that would fill the memory become errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _take(
    source: Source,
    begin: Callable[[tuple[int, int, int]], Append],
    size: int | None,
    channels: int | None,
    max_broken: float,
    show: bool,
) -> Taken:
    if not len(source):
        raise KakusanError(f"{source.name} holds no images at all (give another source)")
    conversions: Counter[Conversion] = Counter()
    kept: list[int] = []
    skipped: list[tuple[str, str]] = []
    shape: tuple[int, ...] = ()
    grey = 0

    def picture(index: int) -> Picture | Unreadable:
        return decode(lambda: source.read(index), size, channels == 1)

    with quietly():
        for index, result in enumerate(on_all_cores(picture, len(source), show)):
            if isinstance(result, Unreadable):
                skipped.append((source.entry(index), result.reason))
                continue
            own, height, width = result.pixels.shape
            if not kept:
                shape = (channels or own, height, width)
                append = begin((channels or own, height, width))
            if (height, width) != shape[1:]:
                raise KakusanError(
                    f"images differ in size: {source.entry(index)} is {width}×{height}, those before it "
                    f"{shape[2]}×{shape[1]} (kakusan data prepare --size N makes them all square, and so does "
                    "--data.size N where one trains; or make them one size)"
                )
            if own > shape[0]:
                raise _ColourAmongGrey
            grey += own < shape[0]
            append(np.broadcast_to(result.pixels, shape))
            conversions.update(result.conversions)
            kept.append(index)
    _refuse_broken(source, skipped, max_broken)
    if grey:
        conversions["grey", "RGB"] = grey
    notes = tuple(describe(*conversion, count) for conversion, count in conversions.items())
    return Taken(tuple(kept), (*source.notes, *notes), tuple(skipped))


def _refuse_broken(source: Source, skipped: list[tuple[str, str]], max_broken: float) -> None:
    if len(skipped) <= max_broken * len(source) and len(skipped) < len(source):
        return
    shown = some([f"{name} ({reason})" for name, reason in skipped], _SHOWN)
    raise KakusanError(
        f"{len(skipped):,} of {len(source):,} images in {source.name} cannot be read, where {max_broken:.0%} may be: "
        f"{shown} (kakusan data check lists them all; remove them, or raise --data.max_broken, or --max-broken "
        "of kakusan data prepare)"
    )
