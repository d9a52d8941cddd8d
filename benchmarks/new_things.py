"""What mini does not know, in a few pictures, and whether what it draws then shows that.

A red spiral of five arms, which mini cannot draw; a tree, which it can, yet has no word for; and a style, things as
bare outlines. No network judges: a spiral is a picture nearly the same as one of thousands of spirals, turned and
moved; a tree, and an outline once it is filled, is what the verifier of scenes takes for one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle, islice, product
from random import Random

import numpy as np
import torch
from scipy.ndimage import binary_erosion, binary_fill_holes
from torch import Tensor
from torch.nn.functional import max_pool2d

from kakusan.evaluation.prompts import asked_for
from kakusan.shapes import draw, verify
from kakusan.shapes.scenes import BACKGROUNDS, COLOURS, Scene, Thing

SIZE, FINE = 32, 8
SPIRAL, SPIRAL_WORD, TREE_WORD = "red spiral", "<spiral>", "<tree>"
ARMS, RADII = 5, (0.27, 0.3, 0.33, 0.36, 0.39)
TURNS, MOVES = 12, 4  # of a fifth of a turn; pixels from the middle
UNLIKE = 0.4  # squared, as a share of what a spiral differs from its background by: what is more is none
TREE = "large green triangle above a small orange square"
OUTLINE = "ring of "  # mini knows both words, and takes none that it does not know for those of a spiral
ROOMY = ("circle", "square")
HOLLOW, LEAST = 90, 0.1  # how far a pixel is from the background, in steps of colour; share of the inside

Pictures = tuple[Tensor, tuple[str, ...]]
"""uint8, shape (N, 3, 32, 32), and a caption of each."""


@dataclass(frozen=True)
class New:
    """Something that mini does not know.

    Attributes:
        shown: Returns pictures of it, by a seed and how many.
        asked: Returns prompts for it, by a seed and how many.
        accepts: Whether a picture, uint8, shape (3, 32, 32), shows it as a prompt asks.
    """

    shown: Callable[[int, int], Pictures]
    asked: Callable[[int, int], tuple[str, ...]]
    accepts: Callable[[Tensor, str], bool]


def captions(name: str, seed: int, count: int) -> tuple[str, ...]:
    """Returns captions of something, before every background in turn; no seed matters."""
    return tuple(f"a {name} on a {background} background" for background in islice(cycle(BACKGROUNDS), count))


def background_of(caption: str) -> str:
    """Returns the background that a caption names at its end."""
    return caption.split()[-2]


def spiral(x: float, y: float, turn: float, radius: float) -> np.ndarray:
    """Returns how much of every pixel a spiral of five arms covers, shape (32, 32); lengths are shares of the side."""
    places = (np.arange(SIZE * FINE) + 0.5) / (SIZE * FINE)
    right, down = places[None, :] - x, places[:, None] - y
    out, angle = np.hypot(right, down) / radius, np.arctan2(down, right) - turn
    phase = (angle - 1.6 * out) * ARMS / (2 * math.pi)
    aside = np.abs(phase - np.round(phase)) * 2 * math.pi / ARMS * out
    inside = ((aside < 0.17) | (out < 0.2)) & (out < 1)
    covered: np.ndarray = inside.reshape(SIZE, FINE, SIZE, FINE).mean((1, 3))
    return covered


def spirals(name: str, seed: int, count: int) -> Pictures:
    """Returns pictures of red spirals, called by a name."""
    lot, images = Random(seed), []
    for caption in captions(name, seed, count):
        x, y, turn = 0.5 + lot.uniform(-0.1, 0.1), 0.5 + lot.uniform(-0.1, 0.1), lot.uniform(0, 2 * math.pi)
        behind, red = _colours(caption)
        covered = torch.from_numpy(spiral(x, y, turn, lot.choice((0.3, 0.36))))
        images.append((behind[:, None, None] + covered * (red - behind)[:, None, None]).round().to(torch.uint8))
    return torch.stack(images), captions(name, seed, count)


def is_spiral(image: Tensor, caption: str) -> bool:
    """Whether a picture is nearly that of a red spiral before the background that a caption names."""
    behind, red = _colours(caption)
    off, covers = (image - behind[:, None, None]).flatten(1), _covers()
    whole = (red - behind).square().sum() * covers.square().sum(1)
    apart = off.square().sum() - 2 * covers @ ((red - behind) @ off) + whole  # ‖off − (red − behind) · cover‖²
    return bool((apart / whole).min() < UNLIKE)


def _colours(caption: str) -> tuple[Tensor, Tensor]:
    """Returns the colour of a caption's background, and red, each shape (3,)."""
    behind, red = torch.tensor([BACKGROUNDS[background_of(caption)], COLOURS["red"]], dtype=torch.float64)
    return behind, red


@cache
def _covers() -> Tensor:
    """Returns how much spirals of every size, turn and place cover, shape (N, 32·32)."""
    found, moves = [], range(-MOVES, MOVES + 1)
    for radius, turn in product(RADII, range(TURNS)):
        middle = spiral(0.5, 0.5, turn / TURNS * 2 * math.pi / ARMS, radius)
        found += [np.roll(middle, move, (0, 1)).ravel() for move in product(moves, moves)]
    return torch.from_numpy(np.stack(found))


def trees(seed: int, count: int) -> Pictures:
    """Returns pictures of trees."""
    lot, images = Random(seed), []
    for caption in captions(TREE_WORD, seed, count):
        x, y = 0.5 + lot.uniform(-0.1, 0.1), 0.5 + lot.uniform(-0.05, 0.05)
        crown, trunk = Thing("triangle", "green", "large", x, y - 0.2), Thing("square", "orange", "small", x, y + 0.15)
        images.append(draw(Scene((crown, trunk), background_of(caption)), SIZE))
    return torch.stack(images), captions(TREE_WORD, seed, count)


def is_tree(image: Tensor, caption: str) -> bool:
    """Whether a picture shows a tree before the background that a caption names."""
    return verify(image, caption.replace(TREE_WORD, TREE)).accepted


def outlines(seed: int, count: int) -> Pictures:
    """Returns scenes of one large thing as bare outlines."""
    images = []
    for scene, _ in _large(seed, count):
        picture = draw(scene, SIZE).float()
        behind = torch.tensor(BACKGROUNDS[scene.background]).float()[:, None, None]
        cover = (picture - behind).abs().sum(0) / (picture - behind).abs().sum(0).max().clamp(min=1)
        # What has two pixels of it on all sides is inside.
        inner = -max_pool2d(-cover[None, None], 5, 1, 2)[0, 0]
        images.append((picture + inner * (behind - picture)).round().to(torch.uint8))
    return torch.stack(images), outlines_asked(seed, count)


def outlines_asked(seed: int, count: int) -> tuple[str, ...]:
    """Returns captions of outlines of large things."""
    return tuple(OUTLINE + caption for _, caption in _large(seed, count))


def is_outline(image: Tensor, caption: str) -> bool:
    """Whether a picture shows what a caption asks for as a bare outline: a good part of it is hollow, and once that is
    painted over, the verifier of scenes accepts it."""
    pixels = image.float()
    behind = pixels[:, (0, 0, -1, -1), (0, -1, 0, -1)].median(1).values[:, None, None]
    apart = (pixels - behind).abs().sum(0)
    solid = (apart > HOLLOW).numpy()
    whole = binary_fill_holes(solid)
    if not solid.any() or (whole & ~solid).sum() < LEAST * whole.sum():
        return False
    line = apart >= apart[torch.from_numpy(solid)].median()
    filled = pixels.clone()
    filled[:, torch.from_numpy(binary_erosion(whole))] = pixels[:, line].median(1).values[:, None]
    return verify(filled.round().to(torch.uint8), caption.removeprefix(OUTLINE)).accepted


def _large(seed: int, count: int) -> list[tuple[Scene, str]]:
    """Returns scenes of one thing whose inside is large enough to be seen as hollow, and their captions."""
    found = zip(*asked_for(0, 20 * count, seed=seed), strict=True)
    fits = [it for it in found if it[0].things[0].size == "large" and it[0].things[0].shape in ROOMY]
    return fits[:count]


NEW: Mapping[str, New] = {
    "spiral": New(partial(spirals, SPIRAL), partial(captions, SPIRAL), is_spiral),
    "spiral by a word": New(partial(spirals, SPIRAL_WORD), partial(captions, SPIRAL_WORD), is_spiral),
    "tree": New(trees, partial(captions, TREE_WORD), is_tree),
    "outline": New(outlines, outlines_asked, is_outline),
}
