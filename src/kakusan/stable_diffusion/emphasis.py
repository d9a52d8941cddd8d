"""Which words of a prompt count more than others: ``(word)``, ``(word:1.3)``, ``[word]``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from kakusan.errors import KakusanError

MORE = 1.1
"""By how much a bracket without a number raises its words, and a square one lowers them."""

_PIECES = re.compile(r"\\[()\[\]\\]|[()\[\]]|[^()\[\]\\]+|\\")
_NUMBER = re.compile(r":\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*$", re.IGNORECASE)
_PAIRS = {"(": ")", "[": "]"}


@dataclass(frozen=True)
class Fragment:
    """Some words of a prompt.

    Attributes:
        text: They.
        weight: How much they count; 1 is as they are.
    """

    text: str
    weight: float = 1.0


def fragments(prompt: str) -> tuple[Fragment, ...]:
    r"""Returns a prompt in parts that count the same, without the brackets that say so.

    ``(word)`` counts 1.1 times as much, ``(word:1.3)`` 1.3 times, ``[word]`` 1/1.1 times; brackets within brackets
    multiply. ``\(`` is a bracket itself.

    Raises:
        KakusanError: A bracket is without its other one, or a weight is no number from 0; the position is named.
    """
    opened: list[tuple[str, int, int]] = []  # which bracket, where, and how many fragments came before
    found: list[Fragment] = []
    for piece in _PIECES.finditer(prompt):
        text, place = piece.group(), piece.start() + 1
        if text in _PAIRS:
            opened.append((text, place, len(found)))
        elif text in _PAIRS.values():
            if not opened or _PAIRS[opened[-1][0]] != text:
                raise _unbalanced(prompt, text, place)
            bracket, _, first = opened.pop()
            factor = MORE if bracket == "(" else 1 / MORE
            if bracket == "(" and len(found) > first and (told := _NUMBER.search(found[-1].text)):
                factor = _weight(prompt, told.group(1), place)
                found[-1] = Fragment(found[-1].text[: told.start()], found[-1].weight)
            found[first:] = [Fragment(it.text, it.weight * factor) for it in found[first:]]
        else:
            found.append(Fragment(text[1:] if len(text) == 2 and text[0] == "\\" else text))
    if opened:
        bracket, place, _ = opened[-1]
        raise _unbalanced(prompt, bracket, place)
    return _joined(found)


def literal(text: str) -> str:
    """Returns the prompt that says a text as it is, brackets and all."""
    return re.sub(r"[()\[\]\\]", r"\\\g<0>", text)


def plain(prompt: str) -> str:
    """Returns a prompt without its brackets."""
    return "".join(it.text for it in fragments(prompt))


def _joined(parts: list[Fragment]) -> tuple[Fragment, ...]:
    """Returns fragments that count differently from their neighbours, and say something."""
    found: list[Fragment] = []
    for part in parts:
        blank = not part.text.strip()  # it counts as what is beside it
        if found and (blank or found[-1].weight == part.weight or not found[-1].text.strip()):
            found[-1] = Fragment(found[-1].text + part.text, found[-1].weight if blank else part.weight)
        elif part.text:
            found.append(Fragment(part.text) if blank else part)
    return tuple(found) or (Fragment(""),)


def _weight(prompt: str, told: str, place: int) -> float:
    weight = float(told)
    if not 0 <= weight < math.inf:
        raise KakusanError(
            f"the weight before position {place} of {prompt!r} must be 0 or more, not {told} (0.5 to 1.5 is usual)"
        )
    return weight


def _unbalanced(prompt: str, bracket: str, place: int) -> KakusanError:
    return KakusanError(
        f"the bracket {bracket} at position {place} of {prompt!r} is without its other one (close it, or write "
        f"\\{bracket} for a bracket itself)"
    )
