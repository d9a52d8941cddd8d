"""What a folder and an archive have in common."""

from pathlib import Path
from typing import Protocol


class Tree(Protocol):
    """Files below a root.

    Attributes:
        path: Where it is, for sentences.
        names: Every file, relative to the root, with ``/``; hidden ones are left out.
    """

    path: Path
    names: list[str]

    def read(self, name: str) -> bytes:
        """Returns the content of a file; from any thread, and with whatever error the system or the archive has."""


def hidden(name: str) -> bool:
    """Whether a file or one of the folders it lies in is hidden, or one that macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
