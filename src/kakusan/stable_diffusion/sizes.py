"""How large a picture can be: in pixels, by what an autoencoder makes one value of."""

from __future__ import annotations

import math

from kakusan.errors import KakusanError

PIXELS = 8
"""Every side of a picture is a multiple of so many pixels, whatever the pipeline."""


def require_side(name: str, pixels: int, multiple: int = PIXELS) -> None:
    """Refuses a side that does not fit.

    Args:
        name: Which side it is.
        pixels: How long.
        multiple: Of how many pixels it has to be a multiple.

    Raises:
        KakusanError: It is none; the nearest that fit are named.
    """
    if pixels < 1 or pixels % multiple:
        below = pixels // multiple * multiple
        near = f"{below} or {below + multiple}" if below > 0 else f"{multiple}, say"
        raise KakusanError(f"{name} must be a multiple of {multiple} pixels, not {pixels} ({near})")


def multiple_of(factor: int) -> int:
    """Returns of how many pixels a side is a multiple, for an autoencoder that shrinks it by a ``factor``."""
    return math.lcm(PIXELS, factor)
