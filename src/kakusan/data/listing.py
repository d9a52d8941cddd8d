"""Which files of a tree are images, in an order that is the same on every machine; their classes and captions."""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from kakusan.config.names import ARCHIVES
from kakusan.data.trees.tree import Tree, read_whole
from kakusan.errors import KakusanError, some

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
METADATA = ("metadata.jsonl", "metadata.csv")
CAPTION_KEYS = ("text", "caption")
_TRAIN = re.compile(r"(^|/)train(ing)?[-_./]", re.IGNORECASE)
_TEST = re.compile(r"(^|/)(test|validation|valid|val|dev)[-_./]", re.IGNORECASE)
_ASIDE = (  # which nobody takes for images
    *(".txt", ".jsonl", ".json", ".csv", ".tsv", ".md", ".html", ".xml", ".yaml", ".yml", ".pdf"),
    *(".py", ".ini", ".db", ".npy", ".npz", ".mat"),
)


def images_in(tree: Tree) -> list[str]:
    """Returns the image files of a tree, in natural order.

    Raises:
        KakusanError: There is none.
    """
    found = [name for name in tree.names if name.lower().endswith(SUFFIXES)]
    if not found:
        packed = [name for name in tree.names if name.lower().endswith(ARCHIVES)]
        hint = f"; it holds archives such as {packed[0]}: unpack it, and give those one by one" if packed else ""
        raise KakusanError(
            f"{tree.path} holds no image (looked for {', '.join(SUFFIXES)}, at any depth{hint}; "
            "give one that holds some)"
        )
    return sorted(found, key=natural_key)


def shards_in(tree: Tree) -> list[str]:
    """Returns the parquet files of a tree that holds no image files, in natural order: they are parts of one set. Of
    several, for training and for tests, those for training count."""
    if any(name.lower().endswith(SUFFIXES) for name in tree.names):
        return []
    found = sorted((name for name in tree.names if name.lower().endswith(".parquet")), key=natural_key)
    train = [name for name in found if _TRAIN.search(name)]
    return train if any(_TEST.search(name) for name in found) and train else found


def left_out(tree: Tree) -> list[str]:
    """Returns the files that may have been meant as images, and are of a kind that is not read."""
    suffixes = {name: PurePosixPath(name).suffix.lower() for name in tree.names}
    return sorted(name for name, suffix in suffixes.items() if suffix and suffix not in (*SUFFIXES, *_ASIDE))


def classes_of(tree: Tree, images: list[str]) -> tuple[tuple[str, ...], Sequence[int] | None]:
    """Returns the class names, first-level folders in natural order, and the class of every image; or ((), None).

    Raises:
        KakusanError: Some images lie directly in the root and others in folders, so that classes are unclear.
    """
    folders = [name.partition("/")[0] if "/" in name else None for name in images]
    direct = folders.count(None)
    if direct == len(images):
        return (), None
    if direct:
        raise KakusanError(
            f"{tree.path} holds {direct} of its {len(images)} images directly and the others in sub-folders, so that "
            f"their classes are unclear (move the {direct} into sub-folders named by class, or all into one folder)"
        )
    names = tuple(sorted({folder for folder in folders if folder is not None}, key=natural_key))
    number = {name: index for index, name in enumerate(names)}
    return names, [number[folder] for folder in folders if folder is not None]


def captions_of(tree: Tree, images: list[str]) -> tuple[str, ...]:
    """Returns the caption of every image, empty where it has none; nothing where none has one.

    A caption is the ``text`` or the ``caption`` of the line whose ``file_name`` is the image's, in a ``metadata.jsonl``
    or ``.csv`` of a folder that it lies in, or else the content of the ``.txt`` beside it.

    Raises:
        KakusanError: A line of metadata is none, or of no file that is there: it is named; or a file of captions is
            damaged.
    """
    captions: dict[str, str] = {}
    for name in sorted(name for name in tree.names if PurePosixPath(name).name in METADATA):
        captions |= _metadata(tree, name)
    if astray := captions.keys() - set(tree.names):
        raise KakusanError(
            f"the metadata in {tree.path} names {some(sorted(astray), 3)}, and there is no such file (mend or remove "
            f"{'this line' if len(astray) == 1 else 'these lines'})"
        )
    texts = {name[: -len(".txt")]: name for name in tree.names if name.lower().endswith(".txt")}
    for image in images:
        text = texts.get(image.rpartition(".")[0])
        if text is not None and image not in captions:
            captions[image] = _text(tree, text)
    told = tuple(captions.get(image, "") for image in images)
    return told if any(told) else ()


def natural_key(path: str) -> tuple[list[list[str | tuple[int, str]]], str]:
    """Orders ``2.png`` before ``10.png``, folder by folder; letters regardless of case, ties by code point."""
    parts = [
        [_number(piece) if odd % 2 else piece.casefold() for odd, piece in enumerate(re.split(r"(\d+)", part))]
        for part in path.split("/")
    ]
    return parts, path


def _number(digits: str) -> tuple[int, str]:
    """Orders numbers of any length by their value; Python reads none of more than 4,300 digits."""
    significant = "".join(str(unicodedata.decimal(digit)) for digit in digits).lstrip("0")
    return len(significant), significant


def _metadata(tree: Tree, name: str) -> Mapping[str, str]:
    """Returns the captions in a file of metadata, by the images' names in the tree."""
    folder = PurePosixPath(name).parent
    captions: dict[str, str] = {}
    for number, read in _entries(tree, name):
        try:
            entry = read()
            path = (folder / entry["file_name"]).as_posix()
            text = next((entry[key] for key in CAPTION_KEYS if entry.get(key)), "")
            caption = text.strip()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KakusanError(
                f"{tree.path / name}:{number}: not a line such as "
                '{"file_name": "0001.png", "text": "a cat"} (mend or remove it)'
            ) from error
        if captions.setdefault(path, caption) != caption:
            raise KakusanError(
                f"{tree.path / name}:{number}: another caption of {entry['file_name']} than a line before (keep one)"
            )
    return captions


def _entries(tree: Tree, name: str) -> Iterator[tuple[int, Callable[[], Any]]]:
    """Yields the number of every line of metadata that is not empty, and how it is read."""
    content = read_whole(tree, name)
    if name.endswith(".csv"):
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=None))
        try:
            told = set(rows.fieldnames or ())
            if "file_name" in told and told.intersection(CAPTION_KEYS):  # others are tables of something else
                for row in rows:
                    yield rows.line_num, partial(dict, row)
        except csv.Error as error:
            raise KakusanError(f"{tree.path / name}:{rows.line_num}: no line of a table: {error} (mend it)") from error
        return
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            yield number, partial(json.loads, line)


def _text(tree: Tree, name: str) -> str:
    """Returns the caption in a file of its own."""
    try:
        return read_whole(tree, name).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise KakusanError(
            f"{tree.path / name} is no caption: byte {error.start} is not UTF-8 text (save it as that, or remove it)"
        ) from error
