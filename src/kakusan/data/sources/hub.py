"""Data sets of the Hugging Face hub by name, and parquet files, through its library ``datasets``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from kakusan.data.sources.files import opened
from kakusan.errors import KakusanError, optional, reason_of

_CAPTIONS = ("text", "caption")


def hub(name: str) -> "Rows":
    """Returns a data set of the hub: ``OWNER/NAME``, or ``OWNER/NAME:SPLIT`` for another split than ``train``.

    Raises:
        KakusanError: ``datasets`` is missing, or there is no such data set, or no image in it.
    """
    path, _, split = name.partition(":")
    return Rows(path, lambda datasets: datasets.load_dataset(path, split=split or "train"))


def parquet(path: Path) -> "Rows":
    """Returns the rows of a parquet file.

    Raises:
        KakusanError: ``datasets`` is missing, or the file is damaged or has no images.
    """
    # Not by load_dataset, which tells the hub of it.
    return Rows(str(path), lambda datasets: datasets.Dataset.from_parquet(str(path.resolve())))


class Rows:
    """The rows of a data set that has a column of images, and perhaps one of classes and one of captions.

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
            column
            for column, kind in kinds.items()
            if isinstance(kind, datasets.Image) or (isinstance(kind, dict) and kind.keys() == {"bytes", "path"})
        ]
        if not images:
            raise KakusanError(f"{name} has no column of images, only {', '.join(kinds)} (give a data set of images)")
        self.name, self._image = Path(name).name, images[0]
        # Not decoded by datasets: a broken one would end the reading of all.
        self._rows = rows.select_columns(images[:1]).cast_column(images[0], datasets.Image(decode=False))
        classes = next((column for column, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)), None)
        labels = [] if classes is None else list(rows[classes])
        hidden = not labels or None in labels or min(labels) < 0  # as in the test sets of competitions
        self.labels: Sequence[int] | None = None if hidden else labels
        self.class_names = () if classes is None or hidden else tuple(kinds[classes].names)
        caption = next((column for column in _CAPTIONS if column in kinds), None)
        self.captions = () if caption is None else tuple(str(text or "") for text in rows[caption])

    def __len__(self) -> int:
        return len(self._rows)

    def entry(self, index: int) -> str:
        return f"row {index}"

    def read(self, index: int) -> Image.Image:
        image = self._rows[index][self._image]
        return opened(Path(image["path"]).read_bytes() if image["bytes"] is None else image["bytes"])
