"""A zip or a tar, packed in whatever way, read where it lies.

Nothing is unpacked by name, so no name can lead anywhere; those that would all the same are refused, since whoever
unpacks the archive next may be less careful.
"""

from __future__ import annotations

import io
import lzma
import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from threading import Lock
from typing import IO

from kakusan.data.trees.tree import hidden, readable
from kakusan.errors import KakusanError
from kakusan.files import writing

_IN_MEMORY = 2**28
_LARGEST = 2**30
_LONGEST_PATH = 4096
_HOPS = 8
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    OSError,
    RuntimeError,
    UnicodeDecodeError,  # of a damaged name
)

Read = Callable[[], bytes]


class Archive:
    """The files of an archive; links in it lead to other files in it.

    Args:
        path: The archive.
        inside: A folder in it, whose files alone are meant; by default the innermost that holds all.

    Raises:
        KakusanError: It is cut short, damaged, holds names or links that lead out of it, or no folder ``inside``.
    """

    def __init__(self, path: Path, inside: str = "") -> None:
        self.path = path / inside
        with readable(path, *_BROKEN):
            files, links = _zip(path) if path.suffix.lower() == ".zip" else _tar(path)
        for name in links:
            end = name
            for _ in range(_HOPS):
                end = links.get(end, end)
            if end in files:
                files[name] = files[end]
        files = {name: read for name, read in files.items() if not hidden(name)}
        folder = inside or posixpath.commonpath([posixpath.dirname(name) for name in files] or [""])
        below = f"{folder}/" if folder else ""
        self._files = {name.removeprefix(below): read for name, read in files.items() if name.startswith(below)}
        self.names = list(self._files)
        self.folders = list({name.partition("/")[0]: None for name in self.names if "/" in name})
        if files and not self.names:
            raise KakusanError(f"{path} holds no folder {inside} (its first file is {next(iter(files))})")

    def read(self, name: str) -> bytes:
        return self._files[name]()


def _zip(path: Path) -> tuple[dict[str, Read], dict[str, str]]:
    """Returns how each file is read, and where each link leads."""
    archive = zipfile.ZipFile(path)

    def read(member: zipfile.ZipInfo) -> bytes:
        _refuse_huge(member.file_size)
        return archive.read(member)

    files: dict[str, Read] = {}
    links: dict[str, str] = {}
    for member in archive.infolist():
        name = _checked(path, member.filename)
        if stat.S_ISLNK(member.external_attr >> 16):
            with archive.open(member) as link:
                links[name] = _linked(path, name, link.read(_LONGEST_PATH).decode("utf-8", "replace"))
        elif not member.is_dir():
            files[name] = partial(read, member)
    return files, links


def _tar(path: Path) -> tuple[dict[str, Read], dict[str, str]]:
    """Returns how each file is read, and where each link leads."""
    content, lock = _seekable(path), Lock()

    def read(member: tarfile.TarInfo) -> bytes:
        _refuse_huge(member.size)
        with lock:
            content.seek(member.offset_data)
            return content.read(member.size)

    files: dict[str, Read] = {}
    links: dict[str, str] = {}
    archive = tarfile.TarFile(fileobj=content)
    for member in archive:
        name = _checked(path, member.name)
        if member.issym():
            links[name] = _linked(path, name, member.linkname)
        elif member.islnk():
            links[name] = _checked(path, member.linkname)
        elif member.isreg() and not member.issparse():
            files[name] = partial(read, member)
    content.seek(archive.offset)
    if content.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        # Where it is cut between two files, or the name of one is damaged, tarfile takes what came before for all.
        raise tarfile.ReadError("its end is missing")
    return files, links


def _seekable(path: Path) -> IO[bytes]:
    """Returns a tar without its packing: the file itself, or, since a packed one only reads forwards, its content.

    That is kept in memory while it is small, else in a temporary file that has no name.
    """
    with tarfile.open(path, "r:*") as tar:
        packed = tar.fileobj
        if packed is None or isinstance(packed, io.BufferedReader):
            return path.open("rb")
        content = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (it lives as long as it is read)
        packed.seek(0)
        while block := packed.read(2**20):
            with writing(gettempdir()):
                content.write(block)
    content.seek(0)
    return content


def _checked(path: Path, name: str) -> str:
    """Returns a name with ``/`` and without ``.``, or refuses one that leads out."""
    plain = posixpath.normpath(name.replace("\\", "/"))
    if plain.startswith(("/", "../")) or plain == ".." or re.match(r"[A-Za-z]:", plain):
        raise KakusanError(f"{path} holds {name!r}, which leads out of it: refused (pack the images anew)")
    return plain


def _linked(path: Path, name: str, target: str) -> str:
    joined = posixpath.join(posixpath.dirname(name), target.replace("\\", "/"))
    try:
        return _checked(path, joined)
    except KakusanError:
        raise KakusanError(
            f"{path} holds the link {name!r} to {target!r}, which leads out of it: refused (pack the images anew)"
        ) from None


def _refuse_huge(size: int) -> None:
    if size > _LARGEST:
        raise ValueError(f"{size / 2**30:.0f} GiB, more than an image has")
