"""Captions for the images of a folder, after a pattern or by who looks at them, in a file that is read with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Formatter

import numpy as np
from numpy.typing import NDArray

from kakusan.data.decode import Picture, Unreadable, decode
from kakusan.data.listing import METADATA, captions_of, classes_of, images_in
from kakusan.data.reading import on_all_cores, quietly
from kakusan.data.sources.files import opened
from kakusan.data.trees import Folder, Tree
from kakusan.errors import KakusanError, counted, some, unknown
from kakusan.files import at_home, atomic_write, require_free_file

FILE = "metadata.jsonl"
"""Where captions go, in the folder of the images."""
Look = Callable[[Sequence[NDArray[np.uint8]]], list[str]]
"""From pictures, bytes of shape (3, H, W) each, to what they show, in words."""

_FIELDS = ("caption", "class", "name")
_TOGETHER = 8  # pictures that are looked at


@dataclass(frozen=True)
class Asked:
    """Captions that can be had.

    Attributes:
        tree: The folder.
        names: The files of its images.
        template: What is said of each, in which ``{name}``, ``{class}`` and ``{caption}`` stand for its own.
        classes: The class of every image, where the template says it.
    """

    tree: Tree
    names: tuple[str, ...]
    template: str
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Captions:
    """What was written.

    Attributes:
        path: The file.
        texts: The caption of every image that could be read.
        skipped: The images that could not, and why.
    """

    path: Path
    texts: Mapping[str, str]
    skipped: tuple[tuple[str, str], ...]


def asked(directory: str | Path, template: str | None, *, looks: bool, overwrite: bool = False) -> Asked:
    """Returns what is asked for, and refuses what cannot be had before anything is looked at.

    Args:
        directory: The folder; its sub-folders, if it has any, are the classes.
        template: What is said of each image, in which ``{class}`` stands for its class, ``{name}`` for that of its file
            and ``{caption}`` for what it shows, as somebody says who looks at it. None: what it shows alone.
        looks: Whether somebody looks.
        overwrite: Accepts captions that are there, which give way.

    Raises:
        KakusanError: It is no folder of images, has captions, or the template asks for what there is not.
    """
    fields = _fields(template, looks)
    path = at_home(directory)
    if not path.is_dir():
        what = f"{directory} is a file" if path.exists() else f"there is no folder {directory}"
        raise KakusanError(f"{what} (captions are written into the folder of the images: unpack them into one)")
    tree = Folder(path)
    names = images_in(tree)
    _require_uncaptioned(tree, names, overwrite)
    classes: tuple[str, ...] = ()
    if "class" in fields:
        folders, labels = classes_of(tree, names)
        if labels is None:
            raise KakusanError(
                f"the images of {directory} lie in no sub-folders, which would be their classes (leave {{class}} out, "
                "or say it yourself)"
            )
        classes = tuple(folders[label] for label in labels)
    return Asked(tree, tuple(names), template if template is not None else "{caption}", classes)


def written(asked: Asked, look: Look | None = None, show: bool = True) -> Captions:
    """Writes a caption for every image that can be read: all at the end, or none.

    Args:
        asked: What :func:`asked` returned.
        look: Says what images show.
        show: Whether to show progress.

    Raises:
        KakusanError: None of the images can be read, or the disk refuses the file.
    """
    texts: dict[str, str] = {}
    skipped: list[tuple[str, str]] = []
    waiting: list[tuple[int, NDArray[np.uint8]]] = []

    def tell() -> None:
        seen = look([pixels for _, pixels in waiting]) if look is not None and waiting else [""] * len(waiting)
        for (index, _), caption in zip(waiting, seen, strict=True):
            texts[asked.names[index]] = _filled(asked, index, caption)
        waiting.clear()

    for index, result in enumerate(_read(asked, show)):
        if isinstance(result, Unreadable):
            skipped.append((asked.names[index], result.reason))
            continue
        waiting.append((index, np.broadcast_to(result.pixels, (3, *result.pixels.shape[1:]))))
        if len(waiting) == _TOGETHER:
            tell()
    tell()
    if not texts:
        broken = some([f"{name} ({reason})" for name, reason in skipped], 3)
        raise KakusanError(f"none of the images in {asked.tree.path} can be read: {broken} (give others)")
    path = asked.tree.path / FILE
    atomic_write(path, "".join(_line(name, text) for name, text in texts.items()))
    return Captions(path, texts, tuple(skipped))


def _read(asked: Asked, show: bool) -> Iterator[Picture | Unreadable]:
    def picture(index: int) -> Picture | Unreadable:
        return decode(lambda: opened(asked.tree.read(asked.names[index])), size=None, grey=False)

    with quietly():
        yield from on_all_cores(picture, len(asked.names), show)


def _fields(template: str | None, looks: bool) -> set[str]:
    """Returns for what a template has places."""
    if template is None:
        if not looks:
            raise KakusanError(
                'say what the images show (--template "a photo of {class}"), or who looks at them (--model NAME)'
            )
        return {"caption"}
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise KakusanError(f'the template {template!r} has a brace without its other: {error} ("{{class}}")') from error
    for _, field, form, conversion in parts:
        if field is not None and (field not in _FIELDS or form or conversion):
            raise unknown("place in a template", field, _FIELDS)
    fields = {field for _, field, *_ in parts if field is not None}
    if not template.strip():
        raise KakusanError('the template is empty (--template "a photo of {class}")')
    if looks != ("caption" in fields):
        raise KakusanError(
            "--model says what an image shows, and the template has no {caption} for it (add it, or leave one out)"
            if looks
            else "{caption} is what somebody says who looks at an image: say who (--model NAME)"
        )
    return fields


def _require_uncaptioned(tree: Tree, names: list[str], overwrite: bool) -> None:
    """Refuses images that have captions, and those that would keep them."""
    before = sum(map(bool, captions_of(tree, names)))
    if before and not overwrite:
        raise KakusanError(
            f"{before:,} of {counted(len(names), 'image')} in {tree.path} have a caption already (--overwrite replaces "
            "them)"
        )
    require_free_file(tree.path / FILE, overwrite)
    if inside := sorted(name for name in tree.names if "/" in name and PurePosixPath(name).name in METADATA):
        raise KakusanError(f"{tree.path / inside[0]} captions some of the images as well (remove it, or move it away)")


def _filled(asked: Asked, index: int, caption: str) -> str:
    name = PurePosixPath(asked.names[index]).stem
    label = asked.classes[index] if asked.classes else ""
    return asked.template.format_map({"caption": caption, "name": _words(name), "class": _words(label)}).strip()


def _words(name: str) -> str:
    """Returns what a file or a folder is called as it is said, without bytes that are no text."""
    return name.encode("utf-8", "ignore").decode().replace("_", " ")


def _line(name: str, text: str) -> str:
    entry = {"file_name": name, "text": text}
    try:
        json.dumps(entry, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # of a name that is no text
        return json.dumps(entry) + "\n"
    return json.dumps(entry, ensure_ascii=False) + "\n"
