"""What a report says, in the language of its reader: sentences from a catalogue, and numbers as people write them."""

from __future__ import annotations

import locale
import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources
from string import Formatter
from typing import Any

import yaml

from kakusan.errors import unknown

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Language:
    """Says sentences of a catalogue, into which values are put as people write them.

    A sentence is a text with places such as ``{images:count}``: the value's name, and how it is written. The ways are
    the methods of this class that take one value: ``number``, ``count``, ``percent``, ``duration``; and
    ``{steps:several step}`` or ``{classes:several class classes}`` for a number of things.

    Args:
        code: ``"en"`` or ``"ja"``.
        sentences: Text by key, such as ``"loss.fell"``.
    """

    def __init__(self, code: str, sentences: Mapping[str, str]) -> None:
        self.code = code
        self.sentences = sentences
        self._formatter = _Formatter(self)

    def __call__(self, key: str, /, **values: object) -> str:
        """Returns the sentence of a ``key`` with its ``values``.

        Raises:
            KeyError: The catalogue has no such sentence, or the sentence asks for a value that is not given.
        """
        return self._formatter.vformat(self.sentences[key], (), values)

    def knows(self, key: str) -> bool:
        """Whether there is a sentence of this ``key``."""
        return key in self.sentences

    def number(self, value: float) -> str:
        """Returns three significant digits, and every digit before the point: 0.123, −19.1, 1,234."""
        return f"{value:,.{_decimals(value)}f}".replace("-", "\N{MINUS SIGN}")

    def spread(self, mean: float, deviation: float) -> str:
        """Returns a mean and its standard deviation with the same decimals: 19.1 ± 0.8."""
        return f"{self.number(mean)}\N{NO-BREAK SPACE}{self.deviation(mean, deviation)}"

    def deviation(self, mean: float, deviation: float) -> str:
        """Returns the second half of :meth:`spread`: ± 0.8."""
        return f"±\N{NO-BREAK SPACE}{deviation:,.{_decimals(mean)}f}"

    def count(self, value: float) -> str:
        """Returns a whole number: 437,322."""
        return f"{value:,.0f}"

    def several(self, n: int, one: str, many: str = "") -> str:
        """Returns a number of things: 1 step, 1,000 steps."""
        return f"{self.count(n)} {one if n == 1 else many or one + 's'}"

    def percent(self, share: float | None) -> str:
        """Returns a share of one as per cent, with one decimal: 98.7 %."""
        return self("unit.unknown") if share is None else self("unit.percent", value=f"{100 * share:.1f}")

    def fraction(self, value: float) -> str:
        """Returns a fraction of one with five decimals, or as a power of ten where it is small: 0.39418, 4.04×10⁻⁵."""
        if not 0 < value < 1e-3:
            return f"{value:.5f}"
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits}×10{str(int(power)).translate(_RAISED)}"

    def duration(self, seconds: float) -> str:
        """Returns a time in the unit that suits it: 340 µs, 1.25 ms, 75.0 s, 2 min 55 s."""
        for unit, size in (("microseconds", 1e-6), ("milliseconds", 1e-3)):
            if seconds < 1000 * size:
                return self(f"unit.{unit}", value=self.number(seconds / size))
        if seconds < 120:
            return self("unit.seconds", value=self.number(seconds))
        minutes, rest = divmod(round(seconds), 60)
        return self("unit.minutes", minutes=self.count(minutes), seconds=rest)

    def size(self, count: int) -> str:
        """Returns a number of bytes in the unit that suits it: 340 kB, 2.74 MB."""
        unit, factor = ("kilobytes", 1e3) if count < 1e6 else ("megabytes", 1e6)
        return self(f"unit.{unit}", value=self.number(count / factor))


@cache
def language(code: str) -> Language:
    """Returns the language of a ``code``.

    Raises:
        KakusanError: There are no sentences in it.
    """
    if code not in languages():
        raise unknown("language", code, languages())
    text = _catalogues().joinpath(f"{code}.yaml").read_text("utf-8")
    return Language(code, dict(_flat(yaml.safe_load(text))))


def languages() -> list[str]:
    """Returns the codes of all languages there are."""
    return sorted(file.name.removesuffix(".yaml") for file in _catalogues().iterdir() if file.name.endswith(".yaml"))


def usual() -> str:
    """Returns the code of the language that the system is set to, or ``"en"`` where there are no sentences in that."""
    chosen = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), None)
    code = (chosen or locale.getlocale()[0] or "")[:2].lower()
    return code if code in languages() else "en"


class _Formatter(Formatter):
    """Writes the values of a sentence in the ways of a language."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        way, *words = format_spec.split() or [""]
        if not way:
            return str(value)
        write: Callable[..., str] = getattr(self._language, way)
        return write(value, *words)


def _catalogues() -> Any:
    return resources.files("kakusan.reporting") / "languages"


def _flat(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, inside in section.items():
        if isinstance(inside, Mapping):
            yield from _flat(inside, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(inside)


def _decimals(value: float) -> int:
    # Rounded first: 9.996 has one digit more before the point than it seems.
    rounded = abs(float(f"{value:.3g}"))
    return max(0, 2 - math.floor(math.log10(rounded))) if 0 < rounded < math.inf else 0
