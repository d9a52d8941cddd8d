"""What a folder and an archive have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from kakusan.errors import KakusanError, reason_alone


class Tree(Protocol):
    """Files below a root.

    Attributes:
        path: Where it is, for sentences.
        names: Every file, relative to the root, with ``/``; hidden ones are left out.
        folders: The folders of the root itself, by name.
    """

    path: Path
    names: list[str]
    folders: list[str]

    def read(self, name: str) -> bytes:
        """Returns the content of a file; from any thread, and with whatever error the system or the archive has."""


def read_whole(tree: Tree, name: str) -> bytes:
    """Returns the content of a file that cannot be left out, as one image among many can.

    Raises:
        KakusanError: It is damaged, or cannot be read.
    """
    # Archives raise almost anything where they are damaged, packed in a way of their own or locked by a password.
    with readable(tree.path / name, Exception):
        return tree.read(name)


@contextmanager
def readable(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turns what a damaged file raises into one sentence."""
    try:
        yield
    except KakusanError:
        raise
    except errors as error:
        reason = reason_alone(error)
        raise KakusanError(f"{path} cannot be read, it may be cut short: {reason} (get it anew)") from error


def hidden(name: str) -> bool:
    """Whether a file or one of the folders it lies in is hidden, or one that macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
