"""Which images fit a network that halves its resolution several times, and which groups its channels."""

import math
from collections.abc import Sequence

from torch import Tensor

from kakusan.errors import KakusanError


def check_images(x: Tensor, channels: int, factor: int) -> None:
    """Refuses a batch that is not of shape (B, ``channels``, H, W) with H and W multiples of ``factor``.

    Raises:
        KakusanError: The rank, the channels or a size do not fit; the nearest sizes that do are named.
    """
    if x.ndim != 4 or x.shape[1] != channels:
        raise KakusanError(f"this network takes images of shape (B, {channels}, H, W), not {tuple(x.shape)}")
    for side, size in zip(("height", "width"), x.shape[2:], strict=True):
        if size % factor or size == 0:
            below = max(size // factor, 1) * factor
            raise KakusanError(
                f"a {side} of {size} does not fit this network: it must be a multiple of {factor}, "
                f"such as {below} or {below + factor}; crop, pad or resize the images"
            )


def most_groups(channels: Sequence[int]) -> int:
    """Returns the largest number up to 32 that divides all ``channels`` into groups of at least two."""
    common = math.gcd(*channels)
    limit = min(32, min(channels) // 2)
    return max(groups for groups in range(1, limit + 1) if common % groups == 0)
