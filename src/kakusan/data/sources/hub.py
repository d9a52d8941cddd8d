"""Data sets of the Hugging Face hub by name, and parquet files, through its library ``datasets``."""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from kakusan.data.listing import CAPTION_KEYS, natural_key
from kakusan.data.sources.files import opened
from kakusan.errors import KakusanError, counted, optional, reason_of

_BYTES = ("binary", "large_binary")  # of files, where no column is of images
_LABELS = ("label", "labels", "class")
_PLAIN = {"string", "large_string", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}


def hub(name: str) -> "Rows":
    """Returns a data set of the hub: ``OWNER/NAME``, or ``OWNER/NAME:SPLIT`` for another split than ``train``.

    Raises:
        KakusanError: ``datasets`` is missing, or there is no such data set, or no image in it.
    """
    path, _, split = name.partition(":")
    return Rows(path, lambda datasets: datasets.load_dataset(path, split=split or "train"))


def parquet(*paths: Path, beside: Collection[str] = ()) -> "Rows":
    """Returns the rows of a parquet file, or of several that are parts of one data set.

    Args:
        paths: The files.
        beside: All that lies in their folder, of which others are left out.

    Raises:
        KakusanError: ``datasets`` is missing, or a file is damaged or has no images.
    """
    name = str(paths[0] if len(paths) == 1 else os.path.commonpath(paths))
    # Not by load_dataset, which tells the hub of it.
    rows = Rows(name, lambda datasets: datasets.Dataset.from_parquet([str(path.resolve()) for path in paths]))
    if (others := sum(name.lower().endswith(".parquet") for name in beside) - len(paths)) > 0:
        rows.notes = (
            f"of the parquet files in {name} those for training are read: {counted(others, 'other')} left out",
        )
    return rows


class Rows:
    """The rows of a data set that has a column of images, and perhaps one of classes and one of captions.

    Images are a column of that kind, or of the bytes of files; classes a column of that kind, or one called ``label``
    or so of whole numbers or of names; captions one called ``text`` or ``caption``.

    Args:
        name: What a person calls it.
        load: From the library to its data set.

    Raises:
        KakusanError: It cannot be loaded, or has no images.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, name: str, load: Callable[[Any], Any]) -> None:
        with optional(name, "datasets"):
            import datasets
        try:
            rows = load(datasets)
        # Of the network, of the hub, of the file: its errors have no common class.
        except Exception as error:
            raise KakusanError(f"{name} cannot be loaded: {reason_of(error)} (check its name, or the file)") from error
        kinds: dict[str, Any] = rows.features
        images = [
            *(column for column, kind in kinds.items() if _holds_images(kind, datasets)),
            *(column for column, kind in kinds.items() if str(getattr(kind, "dtype", "")) in _BYTES),
        ]
        if not images:
            raise KakusanError(f"{name} has no column of images, only {', '.join(kinds)} (give a data set of images)")
        self.name, self._image = Path(name).name, images[0]
        # Not decoded by datasets: a broken one would end the reading of all.
        self._rows = rows.select_columns(images[:1]).cast_column(images[0], datasets.Image(decode=False))
        self.labels, self.class_names = _classes(rows, kinds, datasets)
        caption = next((column for column in CAPTION_KEYS if column in kinds), None)
        self.captions = () if caption is None else tuple(str(text or "") for text in rows[caption])

    def __len__(self) -> int:
        return len(self._rows)

    def entry(self, index: int) -> str:
        return f"row {index}"

    def read(self, index: int) -> Image.Image:
        image = self._rows[index][self._image]
        return opened(Path(image["path"]).read_bytes() if image["bytes"] is None else image["bytes"])


def _holds_images(kind: Any, datasets: Any) -> bool:
    """Whether a column is of images by its kind."""
    return isinstance(kind, datasets.Image) or (isinstance(kind, dict) and kind.keys() == {"bytes", "path"})


def _classes(rows: Any, kinds: dict[str, Any], datasets: Any) -> tuple[Sequence[int] | None, tuple[str, ...]]:
    """Returns the class of every row, and the names of the classes; or (None, ()) where they are hidden, as in the test
    sets of competitions."""
    known = next((column for column, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)), None)
    if known is not None:
        labels = list(rows[known])
        hidden = not labels or None in labels or min(labels) < 0
        return (None, ()) if hidden else (labels, tuple(kinds[known].names))
    plain = next((column for column in _LABELS if str(getattr(kinds.get(column), "dtype", "")) in _PLAIN), None)
    if plain is None:
        return None, ()
    given = list(rows[plain])
    if any(label is None or label == "" or (isinstance(label, int) and label < 0) for label in given):
        return None, ()
    values = sorted(set(given), key=lambda label: natural_key(str(label)))
    number = {value: index for index, value in enumerate(values)}
    return [number[value] for value in given], tuple(map(str, values))
