"""Numbers as a person reads them: three significant digits, a unit, and what is missing said in words."""

import math

from kakusan.config.names import SAMPLERS

_SPACE = "\N{NO-BREAK SPACE}"


def number(value: float) -> str:
    """Returns three significant digits, and every digit before the point: 0.123, 19.1, 1,234."""
    return f"{value:,.{_decimals(value)}f}"


def spread(mean: float, deviation: float) -> str:
    """Returns a mean and its standard deviation with the same decimals: 19.1 ± 0.8."""
    return f"{number(mean)}{_SPACE}±{_SPACE}{deviation:,.{_decimals(mean)}f}"


def count(value: float) -> str:
    """Returns a whole number: 437,322."""
    return f"{value:,.0f}"


def several(n: int, one: str, many: str = "") -> str:
    """Returns a number of things: 1 step, 1,000 steps."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def percent(share: float | None) -> str:
    """Returns a share of one as per cent, with one decimal: 98.7 %."""
    return "not measured" if share is None else f"{100 * share:.1f}{_SPACE}%"


def duration(seconds: float) -> str:
    """Returns a time in the unit that suits it: 340 µs, 1.25 ms, 75.0 s, 2 min 55 s."""
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * size:
            return f"{number(seconds / size)}{_SPACE}{unit}"
    if seconds < 120:
        return f"{number(seconds)}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,}{_SPACE}min {rest}{_SPACE}s"


def sampler(name: str) -> str:
    """Returns a sampler's name as its authors write it."""
    return SAMPLERS[name].title if name in SAMPLERS else name


def _decimals(value: float) -> int:
    # Rounded first: 9.996 has one digit more before the point than it seems.
    rounded = abs(float(f"{value:.3g}"))
    return max(0, 2 - math.floor(math.log10(rounded))) if 0 < rounded < math.inf else 0
