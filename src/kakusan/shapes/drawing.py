"""From a scene to its picture, of any size: every pixel takes as much of a colour as a thing covers of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kakusan.shapes.scenes import BACKGROUNDS, COLOURS, SIZES, Scene

Floats = NDArray[np.float64]


def draw(scene: Scene, size: int) -> Tensor:
    """Returns the picture of a scene, uint8, shape (3, size, size)."""
    picture = np.broadcast_to(_bytes(BACKGROUNDS[scene.background]), (3, size, size))
    for thing in scene.things:
        cover = coverage(thing.shape, SIZES[thing.size] * size, thing.x * size, thing.y * size, size)
        picture = picture + cover * (_bytes(COLOURS[thing.colour]) - picture)
    return torch.from_numpy(picture.round().astype(np.uint8))


def coverage(shape: str, radius: float, x: float, y: float, size: int) -> Floats:
    """Returns how much of every pixel a shape covers, (size, size) in [0, 1].

    Args:
        shape: One of SHAPES.
        radius, x, y: Its size and where its middle is, in pixels.
        size: Side of the picture.
    """
    cover: Floats = np.zeros((size, size))
    reach = _REACH * radius + 1
    places = np.arange(0.5, size, dtype=np.float64)
    columns, rows = (slice(max(0, int(it - reach)), max(0, math.ceil(it + reach))) for it in (x, y))
    right, down = places[None, columns] - x, places[rows, None] - y
    # Half a pixel on either side of the outline a pixel is covered in part.
    cover[rows, columns] = np.clip(0.5 - _OUTLINES[shape](right / radius, down / radius) * radius, 0, 1)
    return cover


def area(shape: str) -> float:
    """Returns the area of a shape of radius 1."""
    return _AREAS[shape]


def _bytes(colour: tuple[int, int, int]) -> Floats:
    return np.asarray(colour, np.float64)[:, None, None]


Outline = Callable[[Floats, Floats], Floats]
"""How far places lie outside of a shape of radius 1 around the origin; inside it is negative."""


def _disc(right: Floats, down: Floats) -> Floats:
    found: Floats = np.hypot(right, down) - 1
    return found


def _ring(right: Floats, down: Floats) -> Floats:
    found: Floats = np.abs(np.hypot(right, down) - 0.76) - 0.24
    return found


def _polygon(corners: list[tuple[float, float]]) -> Outline:
    """Returns the outline of a polygon, its corners given one after the other."""
    x0, y0 = np.asarray(corners).T[:, :, None, None]  # (sides, 1, 1) each
    x1, y1 = np.roll(x0, -1, 0), np.roll(y0, -1, 0)
    dx, dy = x1 - x0, y1 - y0

    def outline(right: Floats, down: Floats) -> Floats:
        along = np.clip(((right - x0) * dx + (down - y0) * dy) / (dx**2 + dy**2), 0, 1)
        apart = np.hypot(right - x0 - along * dx, down - y0 - along * dy).min(0)
        # An odd number of sides is crossed by the ray to the right of what lies inside.
        crossed = ((y0 > down) != (y1 > down)) & (right < x0 + (down - y0) / np.where(dy == 0, 1, dy) * dx)
        found: Floats = np.where(crossed.sum(0) % 2 == 1, -apart, apart)
        return found

    return outline


def _around(radii: list[float]) -> list[tuple[float, float]]:
    """Returns corners at equal angles, the first straight up, at so many distances in turn."""
    angles = [2 * math.pi * i / len(radii) for i in range(len(radii))]
    return [(r * math.sin(angle), -r * math.cos(angle)) for r, angle in zip(radii, angles, strict=True)]


_REACH = 1.3  # radii, beyond which no shape has a part
_ARM = 0.32  # half the width of a cross's arms
_CORNERS: Mapping[str, list[tuple[float, float]]] = {
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0.0, -1.0), (1.0, 0.8), (-1.0, 0.8)],
    "star": _around([1.08, 0.42] * 5),
    "cross": [
        (-_ARM, -1.0),
        (_ARM, -1.0),
        (_ARM, -_ARM),
        (1.0, -_ARM),
        (1.0, _ARM),
        (_ARM, _ARM),
        (_ARM, 1.0),
        (-_ARM, 1.0),
        (-_ARM, _ARM),
        (-1.0, _ARM),
        (-1.0, -_ARM),
        (-_ARM, -_ARM),
    ],
}
_OUTLINES: Mapping[str, Outline] = {
    "circle": _disc,
    "ring": _ring,
    **{name: _polygon(corners) for name, corners in _CORNERS.items()},
}


def _area(corners: list[tuple[float, float]]) -> float:
    """Returns the area of a polygon, by the shoelace formula."""
    ends = zip(corners, corners[1:] + corners[:1], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in ends)) / 2


_AREAS: Mapping[str, float] = {
    "circle": math.pi,
    "ring": math.pi * (1 - 0.52**2),
    **{name: _area(corners) for name, corners in _CORNERS.items()},
}
