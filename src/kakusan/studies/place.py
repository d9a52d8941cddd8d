"""The directory of a study: what was found there is found once, so that whoever stops it can go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError

from kakusan.errors import KakusanError
from kakusan.files import atomic_write, writing

Record = TypeVar("Record", bound=BaseModel)

PAGE, TABLE = "report.html", "table.csv"


class Place:
    """The directory of one study; a context that keeps how long it took.

    Args:
        path: It; new or empty, or that of the same study, which goes on.
        told: What makes it the same study: its name, and whatever else may not change.
        show: Whether to show progress.

    Raises:
        KakusanError: Another study lies there, or the directory cannot be written.
    """

    def __init__(self, path: Path, told: Mapping[str, Any], show: bool = True) -> None:
        self.path, self.show = path, show
        self._started, self._done = time.monotonic(), (path / PAGE).exists()
        self._open(json.loads(json.dumps(told)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        atomic_write(self._clock, f"{self._spent():.1f}\n")

    def found(
        self,
        name: str,
        kind: type[Record],
        find: Callable[[], Record],
        still: Callable[[Record], bool] = lambda record: True,
    ) -> Record:
        """Returns what was found under a name; it is found now where it has not been, or does ``still`` not hold."""
        place = self.path / "found" / f"{name}.json"
        if place.is_file():
            with suppress(OSError, ValidationError):  # damaged, or of another version
                if still(record := kind.model_validate_json(place.read_text())):
                    return record
        record = find()
        atomic_write(place, record.model_dump_json(indent=2) + "\n")
        return record

    def _spent(self) -> float:
        """Returns how long the study took so far, however often it was stopped; to write its page anew is free."""
        before = float(self._clock.read_text()) if self._clock.is_file() else 0.0
        return before if self._done else before + time.monotonic() - self._started

    @property
    def _clock(self) -> Path:
        return self.path / "seconds.txt"

    def _open(self, told: Mapping[str, Any]) -> None:
        place = self.path / "study.json"
        if place.is_file():
            before = json.loads(place.read_text())
            # A field that one of the two versions does not know is as it always was.
            if apart := [name for name in before.keys() & told.keys() if before[name] != told[name]]:
                raise KakusanError(
                    f"{self.path} holds another study: {apart[0]} was {before.get(apart[0])} there, and is "
                    f"{told.get(apart[0])} here (choose another --run, or remove it)"
                )
            return
        if self.path.exists() and any(self.path.iterdir()):
            raise KakusanError(f"{self.path} holds files, and no study (choose another --run)")
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        atomic_write(place, json.dumps(told, indent=2) + "\n")
