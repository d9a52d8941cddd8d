"""A film inside the page: a strip of frames, and above it, where scripts run, one frame large with a slider."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup
from torch import Tensor

from kakusan.reporting import thumbnails
from kakusan.reporting.html import fragment
from kakusan.reporting.language import Language

_Item = TypeVar("_Item")
_FRAMES, _STRIP = 60, 12
_BYTES = 600_000  # of pixels, which noise does not let a PNG compress


@dataclass(frozen=True)
class Frame:
    """One moment.

    Attributes:
        time: What the moment is called, such as ``"t = 0.25"``.
        images: What is seen, side by side: values in [-1, 1], each (C, H, W).
    """

    time: str
    images: tuple[Tensor, ...]


def film(say: Language, frames: Sequence[Frame], labels: Sequence[str]) -> Markup:
    """Returns a film of at most 60 of the frames, evenly chosen, of large pictures fewer; twelve stand in the strip.

    Args:
        say: The language.
        frames: In the order in which they are shown, each with as many images.
        labels: What each of the images of a frame is.
    """
    channels, height, width = frames[0].images[0].shape
    weight = len(labels) * channels * math.prod(thumbnails.size(height, width))
    shown = evenly(frames, max(_STRIP, min(_FRAMES, _BYTES // weight)))
    strip = evenly(range(len(shown)), _STRIP)
    return fragment("film.html.jinja", say, frames=shown, strip=strip, labels=labels)


def evenly(items: Sequence[_Item], most: int) -> list[_Item]:
    """Returns at most so many items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
