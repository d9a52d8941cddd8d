"""What all sources have in common."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from PIL import Image


class Source(Protocol):
    """A list of pictures, of which any can be read.

    Attributes:
        name: What a person calls it.
        class_names: The names of the K classes; empty without labels.
        labels: The class of every entry, in [0, K); or None.
        captions: The caption of every entry, empty where it has none; or nothing at all.
        notes: What is to be said of the source itself, a sentence each.
    """

    name: str
    class_names: tuple[str, ...]
    labels: Sequence[int] | None
    captions: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """How many entries there are, broken ones included."""

    def entry(self, index: int) -> str:
        """Returns what a person calls an entry."""

    def read(self, index: int) -> Image.Image:
        """Returns a picture, whose pixels need not be decoded yet; from any thread, and with whatever error it has."""


@runtime_checkable
class AnySize(Protocol):
    """A source whose pictures are drawn, in whatever size is asked for."""

    def at(self, size: int) -> Source:
        """Returns the same pictures with sides of so many pixels."""
