"""Many images of a source on one picture, to see at a glance what they are."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from kakusan.data.decode import Picture, decode
from kakusan.data.reading import on_all_cores, quietly
from kakusan.data.sources import Source
from kakusan.errors import KakusanError
from kakusan.pictures import grid

_TILE = 64


def contact_sheet(source: Source, count: int = 100) -> Tensor:
    """Returns images spread evenly over a source, each whole within 64×64 pixels: bytes of shape (3, H, W).

    Args:
        source: Where they come from.
        count: How many at most; those that cannot be read are left out.

    Raises:
        KakusanError: None of them can be read.
    """
    chosen = np.unique(np.linspace(0, len(source) - 1, count).round().astype(int)).tolist()

    def tile(place: int) -> Tensor | None:
        result = decode(lambda: source.read(chosen[place]), None, grey=False)
        return _tile(result.pixels) if isinstance(result, Picture) else None

    with quietly():
        tiles = [one for one in on_all_cores(tile, len(chosen), show=False) if one is not None]
    if not tiles:
        raise KakusanError(f"none of {len(chosen)} images in {source.name} can be read, so no sheet can be drawn")
    return grid(torch.stack(tiles), gap=4)


def sheet(images: Sequence[Tensor]) -> Tensor:
    """Returns images, bytes of shape (C, H, W), each whole within 64×64 pixels: bytes of shape (3, H, W)."""
    return grid(torch.stack([_tile(image.numpy()) for image in images]), gap=4)


def _tile(planes: NDArray[np.uint8]) -> Tensor:
    pixels = np.broadcast_to(planes, (3, *planes.shape[1:])).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    tiny = max(image.size) <= _TILE // 2
    image = ImageOps.pad(image, (_TILE, _TILE), Image.Resampling.NEAREST if tiny else Image.Resampling.BICUBIC, "white")
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
