"""Which image files lie below a folder, in an order that is the same on every machine."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import NoReturn

from kakusan.errors import KakusanError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_images(root: Path) -> list[str]:
    """Returns the image files at any depth below ``root``, as paths relative to it with ``/``, in natural order.

    Hidden files and folders are left out, and so is what macOS adds to archives. Linked folders are entered, each
    real folder once, so that a loop of links ends.

    Raises:
        KakusanError: ``root`` is missing, not a folder, or holds no image; or a folder in it may not be read.
    """
    # Not Path.exists, which raises where a parent folder may not be read or a name is too long.
    if not os.path.exists(root):
        raise KakusanError(f"there is no folder {root} (check the path)")
    if not os.path.isdir(root):
        raise KakusanError(f"{root} is a file, not a folder of images (give the folder it lies in)")
    found: list[str] = []
    entered: set[str] = set()
    for directory, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        real = os.path.realpath(directory)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted((name for name in folders if not _ignored(name)), key=natural_key)
        below = Path(directory).relative_to(root)
        found += [(below / name).as_posix() for name in files if name.lower().endswith(SUFFIXES) and not _ignored(name)]
    if not found:
        raise KakusanError(f"{root} holds no image (looked for {', '.join(SUFFIXES)}, at any depth)")
    return sorted(found, key=natural_key)


def classes_of(root: Path, files: list[str]) -> tuple[tuple[str, ...], list[int] | None]:
    """Returns the class names, first-level folders in natural order, and the class of every file; or ((), None).

    Raises:
        KakusanError: Some files lie directly in ``root`` and others in folders, so that classes are unclear.
    """
    folders = [PurePosixPath(file).parts[0] if "/" in file else None for file in files]
    direct = folders.count(None)
    if direct == len(files):
        return (), None
    if direct:
        raise KakusanError(
            f"{root} holds {direct} of its {len(files)} images directly and the others in sub-folders, so that their "
            f"classes are unclear (move the {direct} into sub-folders named by class, or all into one folder)"
        )
    names = tuple(sorted({folder for folder in folders if folder is not None}, key=natural_key))
    number = {name: index for index, name in enumerate(names)}
    return names, [number[folder] for folder in folders if folder is not None]


def natural_key(path: str) -> tuple[list[list[str | int]], str]:
    """Orders ``2.png`` before ``10.png``, folder by folder; letters regardless of case, ties by code point."""
    parts = [
        [int(piece) if odd % 2 else piece.casefold() for odd, piece in enumerate(re.split(r"(\d+)", part))]
        for part in path.split("/")
    ]
    return parts, path


def _ignored(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _refuse(error: OSError) -> NoReturn:
    raise KakusanError(f"cannot read the folder {error.filename}: {error.strerror}") from error
