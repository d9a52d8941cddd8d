"""What is said of scenes, in varied wording, and what a caption asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from kakusan.errors import KakusanError
from kakusan.shapes.scenes import BACKGROUNDS, COLOURS, INVERSE, RELATIONS, SHAPES, SIZES, Scene, Thing

_OPENINGS = ("", "a picture of ", "there is ", "this shows ")
_RELATED = {
    "above": ("above", "over"),
    "below": ("below", "under"),
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
}
_SAYS = {word: relation for relation, words in _RELATED.items() for word in words}
_PLACES = {"above": ("at the top", "at the bottom"), "left of": ("on the left", "on the right")}
_PLACES |= {INVERSE[relation]: places[::-1] for relation, places in _PLACES.items()}
"""Where the first and the second thing stand in the picture itself."""
_USUAL = ("above", "left of")
_USUALLY, _PLACED = 0.7, 1 / 3  # shares of leaning captions of two things


@dataclass(frozen=True)
class Wanted:
    """What a caption asks for.

    Attributes:
        things: Size (None: any), colour and shape of each.
        relation: Where the first is to stand, seen from the second; None of a single thing.
        background: Its name; None: any.
    """

    things: tuple[tuple[str | None, str, str], ...]
    relation: str | None = None
    background: str | None = None


def caption(scene: Scene, lots: Random, *, leaning: bool = True) -> str:
    """Returns a caption of a scene: sizes and background are told or left out, and two things named in either order.

    Args:
        scene: What it is of.
        lots: By which it is worded.
        leaning: Whether it is worded as people do, and not evenly: a third of the captions of two things say where in
            the picture each stands, and most name the upper or the left one first. Who is where then follows in part
            from single words, and only for the rest from which word stands first *and* which relation is named; a model
            that has the first learns the second, and from even captions it learns neither for hours.
    """
    sizes = lots.random() < 0.5
    named = [_named(thing, sizes) for thing in scene.things]
    text = lots.choice(_OPENINGS)
    if scene.relation is None:
        text += named[0]
    else:
        (first, second), relation = named, scene.relation
        usual = lots.random() < (_USUALLY if leaning else 0.5)
        if usual != (relation in _USUAL):
            first, second, relation = second, first, INVERSE[relation]
        related = f"{first} {lots.choice(_RELATED[relation])} {second}"
        placed = f"{first} {_PLACES[relation][0]} and {second} {_PLACES[relation][1]}"
        text += placed if lots.random() < _PLACED and leaning else related
    return text + (f" on a {scene.background} background" if lots.random() < 0.5 else "")


def parse(text: str) -> Wanted:
    """Returns what a caption asks for.

    Raises:
        KakusanError: It says something that no caption of these scenes says.
    """
    found = _SENTENCE.fullmatch(" ".join(text.lower().split()).rstrip("."))
    relation = None if found is None else _relation(found)
    if found is None or (found["shape2"] is not None and relation is None):
        raise KakusanError(
            f"the verifier does not understand {text!r}: it reads captions such as 'a small red circle above a blue "
            f"square on a white background' (shapes: {', '.join(SHAPES)}; colours: {', '.join(COLOURS)})"
        )
    first = (found["size"], found["colour"], found["shape"])
    if relation is None:
        return Wanted((first,), None, found["background"])
    return Wanted((first, (found["size2"], found["colour2"], found["shape2"])), relation, found["background"])


def _relation(found: re.Match[str]) -> str | None:
    """Returns how the first thing is to stand to the second; None where that is not said."""
    if found["relation"] is not None:
        return None if found["place2"] else _SAYS[found["relation"]]
    places = found["place"], found["place2"]
    return next((relation for relation, known in _PLACES.items() if known == places), None)


def _named(thing: Thing, sizes: bool) -> str:
    words = f"{thing.size} {thing.colour} {thing.shape}" if sizes else f"{thing.colour} {thing.shape}"
    return one(words)


def one(words: str) -> str:
    """Returns words for a thing with the article that goes before them."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _pattern() -> re.Pattern[str]:
    def one_of(name: str, words: object) -> str:
        return f"(?P<{name}>{'|'.join(sorted(words, key=len, reverse=True))})"  # type: ignore[call-overload]

    def thing(number: str) -> str:
        size, colour = one_of(f"size{number}", SIZES), one_of(f"colour{number}", COLOURS)
        return rf"(?:an?|one|the) (?:{size} )?{colour} {one_of(f'shape{number}', SHAPES)}"

    def place(number: str) -> str:
        return one_of(f"place{number}", {where for places in _PLACES.values() for where in places})

    openings, first, second = "|".join(_OPENINGS), thing(""), thing("2")
    other = f" (?:{one_of('relation', _SAYS)}|{place('')} and) {second}(?: {place('2')})?"
    before = rf"(?: on an? {one_of('background', BACKGROUNDS)} background)?"
    return re.compile(f"(?:{openings}){first}(?:{other})?{before}")


_SENTENCE = _pattern()
assert set(_RELATED) == set(RELATIONS), "every relation has its words"
