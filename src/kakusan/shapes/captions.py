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


def caption(scene: Scene, lots: Random) -> str:
    """Returns a caption of a scene: sizes and background are told or left out, and two things named in either order."""
    sizes = lots.random() < 0.5
    named = [_named(thing, sizes) for thing in scene.things]
    text = lots.choice(_OPENINGS)
    if scene.relation is None:
        text += named[0]
    else:
        (first, second), relation = named, scene.relation
        if lots.random() < 0.5:
            first, second, relation = second, first, INVERSE[relation]
        text += f"{first} {lots.choice(_RELATED[relation])} {second}"
    return text + (f" on a {scene.background} background" if lots.random() < 0.5 else "")


def parse(text: str) -> Wanted:
    """Returns what a caption asks for.

    Raises:
        KakusanError: It says something that no caption of these scenes says.
    """
    found = _SENTENCE.fullmatch(" ".join(text.lower().split()).rstrip("."))
    if found is None:
        raise KakusanError(
            f"the verifier does not understand {text!r}: it reads captions such as 'a small red circle above a blue "
            f"square on a white background' (shapes: {', '.join(SHAPES)}; colours: {', '.join(COLOURS)})"
        )
    first = (found["size"], found["colour"], found["shape"])
    if found["relation"] is None:
        return Wanted((first,), None, found["background"])
    second = (found["size2"], found["colour2"], found["shape2"])
    return Wanted((first, second), _SAYS[found["relation"]], found["background"])


def _named(thing: Thing, sizes: bool) -> str:
    words = f"{thing.size} {thing.colour} {thing.shape}" if sizes else f"{thing.colour} {thing.shape}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _pattern() -> re.Pattern[str]:
    def one_of(name: str, words: object) -> str:
        return f"(?P<{name}>{'|'.join(sorted(words, key=len, reverse=True))})"  # type: ignore[call-overload]

    def thing(number: str) -> str:
        size, colour = one_of(f"size{number}", SIZES), one_of(f"colour{number}", COLOURS)
        return rf"(?:an?|one|the) (?:{size} )?{colour} {one_of(f'shape{number}', SHAPES)}"

    openings = "|".join(_OPENINGS)
    related = f"(?: {one_of('relation', _SAYS)} {thing('2')})?"
    before = rf"(?: on an? {one_of('background', BACKGROUNDS)} background)?"
    return re.compile(f"(?:{openings}){thing('')}{related}{before}")


_SENTENCE = _pattern()
assert set(_RELATED) == set(RELATIONS), "every relation has its words"
