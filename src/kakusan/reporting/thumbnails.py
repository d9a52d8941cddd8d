"""Pictures as small as a page shows them, so that it can be mailed."""

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

LARGEST = 64


def size(height: int, width: int, largest: int = LARGEST) -> tuple[int, int]:
    """Returns the height and width at which a page shows pictures: their own, or the ``largest``, 64 pixels, either
    way."""
    factor = min(1, largest / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def fitting(shape: Sequence[int], most: int) -> int:
    """Returns how many pictures of ``shape`` (C, H, W) fit into so many bytes of pixels; one fits always."""
    channels, height, width = shape
    return max(1, most // (channels * math.prod(size(height, width))))


def shrunk(images: Tensor, largest: int = LARGEST) -> Tensor:
    """Returns pictures (N, C, H, W) at the size at which a page shows them; a pixel is the mean of what it covers."""
    height, width = images.shape[-2:]
    if size(height, width, largest) == (height, width):
        return images
    return functional.interpolate(images.float(), size(height, width, largest), mode="area")
