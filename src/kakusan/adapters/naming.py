"""An adapter as it is typed: where it lies, and how much it counts."""

from __future__ import annotations

import math

from kakusan.config.names import HUB
from kakusan.errors import KakusanError
from kakusan.files import at_home


def weighted(text: str) -> tuple[str, float]:
    """Returns where an adapter lies, and how much it counts: ``style.safetensors:0.7``, or 1 where that is not said.

    Raises:
        KakusanError: What follows the colon is no number.
    """
    place, colon, weight = text.rpartition(":")
    # A place may have a colon of its own.
    if not place or place + colon == HUB or at_home(text).exists():
        return text, 1.0
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
        if not at_home(place).exists():  # then it is the place that is wrong
            return text, 1.0
    if not math.isfinite(number):
        raise KakusanError(
            f"the weight of {place} must be a number, not {weight!r} ({place}{colon}1 is as it was trained)"
        )
    return place, number
