"""What a measured quantity is called, how its values are written, and which of two is better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kakusan.reporting.language import Language
from kakusan.results import Value
from kakusan.results.quantities import COUNTS, GROWING, SHARES, TIMES


def title_of(say: Language, name: str) -> str:
    """Returns what a quantity is called: ``Fréchet distance`` for ``distance``."""
    return say(f"quantity.{name}") if say.knows(f"quantity.{name}") else name


def better(name: str) -> Callable[..., Any]:
    """Returns ``max`` for a quantity of which more is better, ``min`` for any other."""
    return max if name in GROWING else min


def in_words(say: Language, name: str, value: float) -> str:
    """Returns a value as people write it: as a share, a time, a count, or a number."""
    if name in SHARES:
        return say.percent(value)
    if name in TIMES:
        return say.duration(value)
    return say.count(value) if name in COUNTS else say.number(value)


def doubt(say: Language, name: str, value: Value) -> str:
    """Returns the interval of a value, in words; nothing where there is none."""
    if value.interval is None:
        return ""
    low, high = (in_words(say, name, end) for end in value.interval)
    return say("quantity.interval", low=low, high=high)
