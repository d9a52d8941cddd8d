"""The captioned scenes of :mod:`kakusan.shapes`, drawn when they are asked for, of any size."""

from collections.abc import Sequence
from copy import copy
from random import Random

from PIL import Image

from kakusan.seeds import derive
from kakusan.shapes import Scene, caption, draw, scene

COUNT = 40_000
_SEED = 0
_SIDE = 32


class Shapes:
    """A source of scenes with one or two things, all of the kind that is learned from.

    Args:
        size: Side of the pictures, in pixels.
        things: 1 or 2; None: either.
        middle: Whether a single thing stands in the middle.
        count: How many; 40,000 by default.
    """

    class_names: tuple[str, ...] = ()
    labels: Sequence[int] | None = None
    notes: tuple[str, ...] = ()

    def __init__(
        self, size: int = _SIDE, things: int | None = None, middle: bool = False, count: int | None = None
    ) -> None:
        self._size, self._things, self._middle = size, things, middle
        self._count = COUNT if count is None else count
        self.name = "shapes" if things is None else "shapes-single"
        self.captions = tuple(
            caption(self._scene(index), Random(derive(_SEED, "captions", index))) for index in range(self._count)
        )

    def __len__(self) -> int:
        return self._count

    def at(self, size: int) -> "Shapes":
        """Returns the same scenes in another size: drawn anew, not resized."""
        other = copy(self)
        other._size = size
        return other

    def entry(self, index: int) -> str:
        return f"scene {index}"

    def read(self, index: int) -> Image.Image:
        return Image.fromarray(draw(self._scene(index), self._size).permute(1, 2, 0).numpy())

    def _scene(self, index: int) -> Scene:
        return scene(_SEED, index, things=self._things, middle=self._middle)


def single() -> Shapes:
    """Returns half as many scenes, of one thing in the middle, which are learned far sooner."""
    return Shapes(things=1, middle=True, count=COUNT // 2)
