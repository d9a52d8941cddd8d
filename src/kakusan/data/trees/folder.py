"""A folder of the file system, with all that lies below it."""

import os
import stat
from pathlib import Path
from typing import NoReturn

from kakusan.data.trees.tree import hidden
from kakusan.errors import KakusanError


class Folder:
    """The files at any depth below a folder.

    Linked folders are entered, each real folder once, so that a loop of links ends.

    Raises:
        KakusanError: A folder in it may not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.folders: list[str] = []
        entered: set[str] = set()
        for directory, folders, files in os.walk(path, followlinks=True, onerror=_refuse):
            real = os.path.realpath(directory)
            if real in entered:
                folders.clear()
                continue
            entered.add(real)
            folders[:] = sorted(name for name in folders if not hidden(name))
            if directory == os.fspath(path):
                self.folders = list(folders)
            below = Path(directory).relative_to(path).as_posix()
            prefix = "" if below == "." else f"{below}/"
            self.names += [prefix + name for name in files if not hidden(name)]

    def read(self, name: str) -> bytes:
        # A pipe would be waited for, and for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self.path / name, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("no regular file")
            return file.read()


def _refuse(error: OSError) -> NoReturn:
    raise KakusanError(f"cannot read the folder {error.filename}: {error.strerror}") from error
