"""Scenes: one or two things of a shape, a colour and a size, where they stand, and before what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from kakusan.errors import KakusanError
from kakusan.seeds import derive

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (230, 20, 20),
    "green": (20, 160, 40),
    "blue": (30, 60, 235),
    "yellow": (250, 220, 20),
    "purple": (150, 30, 190),
    "orange": (255, 130, 10),
    "cyan": (20, 200, 215),
}
SIZES: Mapping[str, float] = {"small": 0.13, "large": 0.2}
"""Radius of a thing as a share of the picture's side."""
BACKGROUNDS: Mapping[str, tuple[int, int, int]] = {
    "white": (250, 250, 250),
    "grey": (135, 135, 135),
    "black": (10, 10, 10),
    "pink": (250, 170, 190),
}
RELATIONS: Mapping[str, tuple[int, int]] = {"above": (0, -1), "below": (0, 1), "left of": (-1, 0), "right of": (1, 0)}
"""Where the first thing stands, seen from the second: to the right, and down."""
INVERSE: Mapping[str, str] = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}

UNTRAINED_COLOURS = frozenset(
    {
        ("red", "star"),
        ("green", "ring"),
        ("blue", "triangle"),
        ("yellow", "cross"),
        ("purple", "square"),
        ("orange", "circle"),
    }
)
"""Colours of shapes that no scene to learn from has: what a model makes of them, it composes."""
UNTRAINED_RELATIONS = frozenset(
    {
        ("circle", "above", "star"),
        ("square", "above", "ring"),
        ("triangle", "above", "cross"),
        ("star", "left of", "square"),
        ("ring", "left of", "triangle"),
        ("cross", "left of", "circle"),
    }
)
"""Shapes in a relation that no scene to learn from has, said either way around."""

KINDS = ("trained", "untrained-colour", "untrained-relation")
"""Kinds of scenes: such as are learned from, and such as are not, for a colour of a shape or for a relation of two."""

_MARGIN, _GAP = 0.03, 0.09  # between a thing and the border, and between two things, as shares of the side
_TWO = 0.6  # share of scenes with two things
_OFF = 0.02  # of the side: how far from the middle a thing in the middle may be


@dataclass(frozen=True)
class Thing:
    """A thing in a scene.

    Attributes:
        shape, colour, size: One of SHAPES, COLOURS, SIZES.
        x, y: Where its middle is, from the left and from the top, as shares of the picture's side.
    """

    shape: str
    colour: str
    size: str
    x: float = 0.5
    y: float = 0.5


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes:
        things: One or two.
        background: One of BACKGROUNDS.
        relation: Where the first stands, seen from the second, one of RELATIONS; None of a single thing.
    """

    things: tuple[Thing, ...]
    background: str
    relation: str | None = None

    @property
    def kind(self) -> str:
        """One of KINDS."""
        if any((thing.colour, thing.shape) in UNTRAINED_COLOURS for thing in self.things):
            return "untrained-colour"
        return "untrained-relation" if self._said_both_ways() & UNTRAINED_RELATIONS else "trained"

    def _said_both_ways(self) -> set[tuple[str, str, str]]:
        if self.relation is None:
            return set()
        first, second = (thing.shape for thing in self.things)
        return {(first, self.relation, second), (second, INVERSE[self.relation], first)}


def scene(seed: int, index: int, *, kind: str = "trained", things: int | None = None, middle: bool = False) -> Scene:
    """Returns a scene, which follows from the seed and the index.

    Args:
        seed: Of a whole set of scenes.
        index: Which of them, in [0, 2³²).
        kind: One of KINDS.
        things: 1 or 2; None: either, two a little more often.
        middle: Whether a single thing stands in the middle, and not anywhere.

    Raises:
        KakusanError: There is no such kind, or none with so many things.
    """
    if kind not in KINDS or things not in (None, 1, 2) or (kind == "untrained-relation" and things == 1):
        raise KakusanError(f"there is no scene of kind {kind!r} with {things} things (kinds are {', '.join(KINDS)})")
    lots = Random(derive(seed, f"shapes {kind} {things}", index))
    least = 2 if kind == "untrained-relation" else 1
    count = things or max(least, 2 if lots.random() < _TWO else 1)
    while True:
        found = _drawn(lots, count, middle)
        if found.kind == kind:
            return found


def _drawn(lots: Random, count: int, middle: bool) -> Scene:
    made = [_thing(lots) for _ in range(count)]
    background = lots.choice(tuple(BACKGROUNDS))
    if count == 1:
        (radius,) = (SIZES[thing.size] for thing in made)
        least = 0.5 - _OFF if middle else radius + _MARGIN
        x, y = (lots.uniform(least, 1 - least) for _ in range(2))
        return Scene((_at(made[0], x, y),), background)
    relation = lots.choice(tuple(RELATIONS))
    dx, dy = RELATIONS[relation]
    first, second = (SIZES[thing.size] for thing in made)
    # Along the line of the relation the nearer one to the origin comes first, and neither leaves the picture.
    near, far = (first, second) if dx + dy < 0 else (second, first)
    free = 1 - 2 * (near + far) - 2 * _MARGIN - _GAP
    a, b = sorted(lots.uniform(0, free) for _ in range(2))
    low, high = _MARGIN + near + a, _MARGIN + 2 * near + _GAP + far + b
    along = (low, high) if dx + dy < 0 else (high, low)
    # Across it both stand near the middle, so that the relation is plain.
    across = [lots.uniform(0.42, 0.58) for _ in range(2)]
    places = [(s, t) if dx else (t, s) for s, t in zip(along, across, strict=True)]
    return Scene(tuple(_at(it, *place) for it, place in zip(made, places, strict=True)), background, relation)


def _thing(lots: Random) -> Thing:
    return Thing(lots.choice(SHAPES), lots.choice(tuple(COLOURS)), lots.choice(tuple(SIZES)))


def _at(thing: Thing, x: float, y: float) -> Thing:
    return Thing(thing.shape, thing.colour, thing.size, x, y)
