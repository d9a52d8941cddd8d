"""From the name of a data source to its images."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from kakusan.data.decode import check_shape, describe
from kakusan.data.digits import digits
from kakusan.data.folder import folder
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError, unknown

SOURCES: dict[str, Callable[[], ImageSet]] = {"digits": digits}


def load(
    source: str | Path, *, size: int | None = None, channels: int | None = None, max_broken: float = 0.05
) -> ImageSet:
    """Returns the images of a source.

    Args:
        source: ``"digits"``, or the path of a folder (``"./digits"`` where a folder has that name).
        size: Side of the square images that come out; None keeps the source's.
        channels: 1 (grey) or 3 (RGB); None is the source's.
        max_broken: Share of files that may be unreadable, in [0, 1].

    Raises:
        KakusanError: There is no such source, or it cannot be read as asked.
    """
    if isinstance(source, str) and source in SOURCES:
        return _fit(SOURCES[source](), size, channels)
    path = Path(source).expanduser()
    if not os.path.exists(path):
        raise KakusanError(f"{unknown('data source', str(source), SOURCES)}, or the path of a folder of images")
    return folder(path, size=size, channels=channels, max_broken=max_broken)


def _fit(source: ImageSet, size: int | None, channels: int | None) -> ImageSet:
    """Returns square images in another size, grey or as RGB."""
    check_shape(size, channels)
    images, notes = source.images, source.notes
    if channels is not None and channels != source.shape[0]:
        kinds = ("colour", "grey") if channels == 1 else ("grey", "RGB")
        images = _grey(images) if channels == 1 else images.repeat(1, 3, 1, 1)
        notes += (describe(*kinds, len(source)),)
    if size is not None and source.shape[1:] != (size, size):
        resized = interpolate(images.float(), (size, size), mode="bicubic", antialias=True)
        images = resized.round().clamp(0, 255).to(torch.uint8)
        notes += (describe("differently sized", f"{size}×{size}", len(source)),)
    return replace(source, images=images, notes=notes)


def _grey(images: Tensor) -> Tensor:
    """Returns the luma of RGB bytes, (N, 3, H, W) → (N, 1, H, W), as Pillow rounds it in a folder's images.

    Source: ITU-R BT.601, Y = 0.299·R + 0.587·G + 0.114·B.
    """
    red, green, blue = (channel.int() for channel in images.unbind(1))
    luma: Tensor = 19595 * red + 38470 * green + 7471 * blue + 2**15 >> 16
    return luma.to(torch.uint8)[:, None]
