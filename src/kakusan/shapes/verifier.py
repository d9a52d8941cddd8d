"""A verifier without any network: it reads shapes, colours, sizes and places back from pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kakusan.errors import KakusanError
from kakusan.shapes.captions import Wanted, parse
from kakusan.shapes.drawing import area, coverage
from kakusan.shapes.scenes import BACKGROUNDS, COLOURS, RELATIONS, SHAPES, SIZES, Scene, Thing

_PRESENT = 50.0  # off the background, of 255 a channel: about a quarter of the way to a colour; less is not there
_SPECK = 0.25  # of the area of the smallest thing: what is smaller is a speck, and no picture has any
_FAR = 60.0  # in bytes: how far a background may be from those that have a name
_OFF = 0.3  # of what a thing differs from its background by: how much of that no colour with a name may explain
_UNLIKE = 0.22  # of the area: how much of a shape may be missing or too much
_MIDDLE = (SIZES["small"] * SIZES["large"]) ** 0.5  # between small and large
_ORDERED = 0.1  # of the side, by which two things must be apart along the line of their relation


@dataclass(frozen=True)
class Verdict:
    """Whether a picture shows what a caption asks for, in pieces; each but the background is None where the one before
    it failed, and all are where there is nothing to ask.

    Attributes:
        parts: Whether the shapes and the colours asked for are there, and nothing else.
        binding: Whether each shape has its own colour, and its own size where that is asked for.
        axis: Whether two things stand one above the other, or beside each other, as asked.
        direction: Whether the right one of them stands first.
        background: Whether the background is that asked for.
    """

    parts: bool
    binding: bool | None = None
    axis: bool | None = None
    direction: bool | None = None
    background: bool | None = None

    @property
    def accepted(self) -> bool:
        """Whether all of it is as asked."""
        pieces = (self.parts, self.binding, self.axis, self.direction, self.background)
        return all(piece is not False for piece in pieces)


def verify(image: Tensor, asked: str | Wanted) -> Verdict:
    """Returns whether a picture shows what a caption asks for.

    Args:
        image: uint8, shape (3, H, H).
        asked: The caption, or what it asks for.

    Raises:
        KakusanError: The verifier does not understand the caption, or the picture is no such image.
    """
    wanted = parse(asked) if isinstance(asked, str) else asked
    seen = read(image)
    things = seen.things
    background = None if wanted.background is None else seen.background == wanted.background
    for quality in ("shape", "colour"):
        place = {"colour": 1, "shape": 2}[quality]
        if sorted(getattr(it, quality) for it in things) != sorted(str(it[place]) for it in wanted.things):
            return Verdict(False, background=background)
    orders = [things] if len(things) == 1 else [things, things[::-1]]
    bound = [order for order in orders if all(map(_is, order, wanted.things))]
    if not bound:
        return Verdict(True, False, background=background)
    if wanted.relation is None:
        return Verdict(True, True, background=background)
    dx, dy = RELATIONS[wanted.relation]
    across, down = (things[0].x - things[1].x), (things[0].y - things[1].y)
    axis = (abs(across) > abs(down)) == (dx != 0)
    if not axis:
        return Verdict(True, True, False, background=background)
    direction = any(dx * (a.x - b.x) + dy * (a.y - b.y) > _ORDERED for a, b in bound)
    return Verdict(True, True, True, direction, background)


def read(image: Tensor) -> Scene:
    """Returns what a picture shows, as far as it can be told; a shape or a colour that has no name is ``"unknown"``.

    Args:
        image: uint8, shape (3, H, H), H at least 16.

    Raises:
        KakusanError: It is no such image.
    """
    if image.dtype != torch.uint8:
        raise KakusanError(f"the verifier reads pixels from 0 to 255, uint8, not {image.dtype} (pictures.to_uint8)")
    if image.ndim != 3 or image.shape[0] != 3 or image.shape[1] != image.shape[2] or image.shape[1] < 16:
        raise KakusanError(
            f"the verifier reads colour pictures (3, H, H) of at least 16 pixels, not {tuple(image.shape)}"
        )
    # Imported here: it takes a while, and who draws scenes has no need of it.
    from scipy import ndimage

    pixels = image.numpy().astype(np.float64)
    size = pixels.shape[1]
    border = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    ground = np.median(border, axis=1)
    background = _nearest(ground, BACKGROUNDS)
    off = pixels - ground[:, None, None]
    there = np.linalg.norm(off, axis=0) > _PRESENT
    labels, count = ndimage.label(there, structure=np.ones((3, 3)))
    smallest = min(area(shape) for shape in SHAPES) * (SIZES["small"] * size) ** 2
    found = []
    for number in range(1, count + 1):
        if (labels == number).sum() < _SPECK * smallest:
            continue
        near = ndimage.binary_dilation(labels == number, structure=np.ones((3, 3))) & ((labels == number) | ~there)
        found.append(_thing(off, near, ground, size))
    return Scene(tuple(found), background)


def _is(thing: Thing, wanted: tuple[str | None, str, str]) -> bool:
    size, colour, shape = wanted
    return (thing.colour, thing.shape) == (colour, shape) and size in (None, thing.size)


def _thing(off: NDArray[np.float64], near: NDArray[np.bool_], ground: NDArray[np.float64], size: int) -> Thing:
    """Returns the thing in a region, from how far pixels are off the background."""
    inside = off[:, near]  # (3, n)
    best, cover, least = "unknown", np.zeros(inside.shape[1]), _OFF * float(np.linalg.norm(inside))
    for name, colour in COLOURS.items():
        way = np.asarray(colour) - ground
        share = np.clip((way[:, None] * inside).sum(0) / (way**2).sum(), 0, 1)
        apart = float(np.linalg.norm(inside - way[:, None] * share))
        if apart < least:
            best, cover, least = name, share, apart
    if best == "unknown":
        return Thing("unknown", best, "unknown")
    covered = np.zeros(near.shape)
    covered[near] = cover
    whole = covered.sum()
    places = np.arange(size) + 0.5
    x, y = float((covered.sum(0) * places).sum() / whole), float((covered.sum(1) * places).sum() / whole)
    shape, radius = _shape(covered, whole, x, y, size)
    if shape != "unknown":  # its place is that of its middle, which its centroid need not be
        dx, dy = _MIDDLES[shape]
        x, y = x - dx * radius, y - dy * radius
    side = "unknown" if shape == "unknown" else "small" if radius < _MIDDLE * size else "large"
    return Thing(shape, best, side, x / size, y / size)


def _shape(covered: NDArray[np.float64], whole: float, x: float, y: float, size: int) -> tuple[str, float]:
    """Returns the shape that covers nearly the same, of the same area and with the same middle, and its radius."""
    found, least, its = "unknown", _UNLIKE, 0.0
    for shape in SHAPES:
        radius = (whole / area(shape)) ** 0.5
        dx, dy = _MIDDLES[shape]
        apart = np.abs(covered - coverage(shape, radius, x - dx * radius, y - dy * radius, size)).sum() / whole
        if apart < least:
            found, least, its = shape, apart, radius
    return found, its


def _nearest(colour: NDArray[np.float64], names: Mapping[str, tuple[int, int, int]]) -> str:
    apart = {name: float(np.linalg.norm(colour - np.asarray(it))) for name, it in names.items()}
    nearest = min(apart, key=apart.__getitem__)
    return nearest if apart[nearest] < _FAR else "unknown"


def _middle(shape: str) -> tuple[float, float]:
    """Returns the centroid of a shape of radius 1 around the origin."""
    fine = 128
    cover = coverage(shape, fine / 4, fine / 2, fine / 2, fine)
    places = (np.arange(fine) + 0.5 - fine / 2) / (fine / 4)
    return float(cover.sum(0) @ places / cover.sum()), float(cover.sum(1) @ places / cover.sum())


_MIDDLES: Mapping[str, tuple[float, float]] = {shape: _middle(shape) for shape in SHAPES}
