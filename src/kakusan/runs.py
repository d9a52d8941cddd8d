"""The run directory: what lies where, read with an error that says so, and written whole.

``config.yaml``, ``metrics.jsonl``, ``checkpoints/<images>/``, ``samples/``, ``report.html``, ``log.txt``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from kakusan.errors import KakusanError, unknown
from kakusan.files import Aside, atomic_write, is_claimed, require_new_directory, sweep, writing
from kakusan.results import Measured

WeightsFrom = Literal["ema", "raw"]
LORA, KOHYA = "pytorch_lora_weights.safetensors", "lora-kohya.safetensors"
EMBEDS, PIPELINE = "learned_embeds.safetensors", "pipeline"
PUBLISHED = (LORA, KOHYA, EMBEDS, PIPELINE)
"""Names, most of them diffusers', of what others read of a pipeline that a run has taught: a LoRA in two layouts, a
learned word, or all of it."""
SHEET = "images.png"
"""What a run shows its images as, as they are learned."""
_OWN = (
    *PUBLISHED,
    SHEET,
    "config.yaml",
    "metrics.jsonl",
    "metrics.json",
    "checkpoints",
    "samples",
    "report.html",
    "log.txt",
    "autoencoder.safetensors",
    "words.json",
    "prior.safetensors",
    "tensorboard",
    "wandb",
)
_WORN = {LORA: "--lora", EMBEDS: "--embedding", PIPELINE: "--model"}
FORMAT = 2  # of checkpoints: 1 knew no skipped steps
_FILES = {"ema": "ema.safetensors", "raw": "model.safetensors"}


@dataclass(frozen=True)
class Checkpoint:
    """One saved moment of a run.

    Attributes:
        path: Its directory.
    """

    path: Path

    @property
    def images(self) -> int:
        """Images seen when it was saved."""
        return int(self.path.name)

    def state(self) -> dict[str, Any]:
        """Returns the counters and facts beside the weights.

        Raises:
            KakusanError: They cannot be read, or a later version wrote them in a way that this one does not know.
        """
        try:
            state: dict[str, Any] = dict(json.loads((self.path / "state.json").read_text("utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise self._unreadable() from error
        if state.get("format", 1) > FORMAT:
            raise KakusanError(
                f"checkpoint {self.path} is of format {state['format']}, written by kakusan "
                f"{state.get('version', 'of a later version')}, and this one reads up to {FORMAT}: install that version"
            )
        if not {"step", "images"} <= state.keys():
            raise self._unreadable()
        return state

    def _unreadable(self) -> KakusanError:
        return KakusanError(
            f"checkpoint {self.path} has no readable state.json (choose another checkpoint, or remove this one)"
        )

    def weights_path(self, which: WeightsFrom) -> Path:
        """Where its averaged (``"ema"``) or its plain weights (``"raw"``) are.

        Raises:
            KakusanError: ``which`` is neither.
        """
        if which not in _FILES:
            raise unknown("weights", str(which), _FILES)
        return self.path / _FILES[which]


@dataclass(frozen=True)
class Run:
    """A run directory, which exists.

    Attributes:
        path: The directory.
    """

    path: Path

    @classmethod
    def open(cls, path: str | Path | Run) -> Run:
        """Returns the run in a directory; one that is a run already, as it is.

        Raises:
            KakusanError: There is no run in it.
        """
        if isinstance(path, Run):
            return path
        if not isinstance(path, (str, Path)):
            raise KakusanError(f"a {type(path).__name__} is no run: give the path of its directory")
        path = Path(path)
        if not path.exists():
            raise KakusanError(f"there is no run directory {path} (train one: kakusan train digits --run {path})")
        if (path / "study.json").is_file():
            raise KakusanError(
                f"{path} is a study: its page is {path / 'report.html'}, its runs lie in {path / 'runs'}"
            )
        if not cls.is_at(path):
            raise KakusanError(f"{path} is not a run directory: it holds no config.yaml (give what --run was given)")
        return cls(path)

    @staticmethod
    def is_at(path: str | Path) -> bool:
        """Whether a directory is a run's."""
        return (Path(path) / "config.yaml").is_file()

    @classmethod
    def create(cls, path: str | Path, overwrite: bool = False) -> Run:
        """Returns a new run in a directory that is new or empty.

        Args:
            path: The directory.
            overwrite: Accepts one that holds files. What an earlier run wrote there, and nothing else, is put aside
                until :meth:`settle` removes it or :meth:`undo` brings it back.

        Raises:
            KakusanError: The directory holds files, or cannot be written to.
        """
        run = cls(require_new_directory(path, overwrite))
        with writing(run.path):
            if run._aside.place.exists() and not run.checkpoints():  # the last run there was killed before it had any
                run._bring_back()
            run.settle()
            run.sweep()
            run._aside.put(_OWN)
        return run

    def settle(self) -> None:
        """Removes what an earlier run left, once this one has a checkpoint to take its place."""
        self._aside.forget()

    @property
    def replaces(self) -> bool:
        """Whether an earlier run lies aside, to be brought back where this one fails."""
        return self._aside.place.exists()

    def undo(self) -> None:
        """Leaves the directory as :meth:`create` found it, of a run that failed before its first checkpoint."""
        with suppress(OSError):
            self._bring_back()
            self.path.rmdir()  # which the operating system refuses where anything is in it

    def _bring_back(self) -> None:
        for name in _OWN:
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self._aside.bring_back()

    @property
    def _aside(self) -> Aside:
        return Aside(self.path / ".earlier")

    def sweep(self) -> None:
        """Removes what a killed process left half-written. Nobody else may be writing the run."""
        for directory in (self.path, self.path / "checkpoints", self.samples_path):
            sweep(directory)

    def write_config(self, text: str) -> None:
        """Writes ``config.yaml``."""
        atomic_write(self.config_path, text)

    @property
    def name(self) -> str:
        """Its directory's name."""
        return self.path.resolve().name

    @property
    def identity(self) -> str:
        """Its name, and what tells it from others of that name: the moment with which its log begins."""
        with suppress(OSError), (self.path / "log.txt").open("rb") as file:
            return f"{self.name}-{crc32(file.readline()):08x}"
        return self.name

    @property
    def config_path(self) -> Path:
        """Everything that decides the run."""
        return self.path / "config.yaml"

    @property
    def autoencoder_path(self) -> Path:
        """The autoencoder in whose latents it learns, where it learns in such."""
        return self.path / "autoencoder.safetensors"

    @property
    def words_path(self) -> Path:
        """The vocabulary of the captions that it learned from, where it did."""
        return self.path / "words.json"

    @property
    def prior_path(self) -> Path:
        """Images of the kind of those that it learns from, where a pipeline has drawn some for it."""
        return self.path / "prior.safetensors"

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def samples_path(self) -> Path:
        """Where the grids drawn while training lie."""
        return self.path / "samples"

    def checkpoints(self) -> list[Checkpoint]:
        """Returns all complete checkpoints, the earliest first."""
        directories = (self.path / "checkpoints").glob("*")
        found = [Checkpoint(path) for path in directories if path.name.isdecimal() and path.is_dir()]
        return sorted(found, key=lambda checkpoint: checkpoint.images)

    def checkpoint(self, images: int | None = None) -> Checkpoint:
        """Returns the last checkpoint, or the one saved after so many ``images``.

        Raises:
            KakusanError: There is no such checkpoint; those that exist are named.
        """
        there = self.checkpoints()
        if not there:
            mend = f"start again: kakusan train {self.config_path} --run {self.path} --overwrite"
            if is_claimed(self.path):
                mend = "its training goes on: wait for the first one, every training.checkpoint_every images"
            raise KakusanError(f"{self.path} holds no checkpoint yet ({mend})")
        if images is None:
            return there[-1]
        for checkpoint in there:
            if checkpoint.images == images:
                return checkpoint
        known = ", ".join(str(checkpoint.images) for checkpoint in there)
        raise KakusanError(f"{self.path} holds no checkpoint at {images} images (there are {known})")

    def metrics(self) -> list[dict[str, Any]]:
        """Returns every line of ``metrics.jsonl``; one cut short by a crash, or otherwise no object, is left out."""
        if not self.metrics_path.exists():
            return []
        lines = []
        for line in self.metrics_path.read_text("utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                read = json.loads(line)
                lines += [read] if isinstance(read, dict) else []
        return lines

    def measured(self) -> Measured:
        """Returns what ``metrics.json`` holds, which studies write; nothing where there is none.

        Raises:
            KakusanError: It is damaged.
        """
        path = self.path / "metrics.json"
        if not path.exists():
            return Measured()
        try:
            return Measured.read(dict(json.loads(path.read_text("utf-8"))))
        except (OSError, TypeError, ValueError) as error:
            raise KakusanError(f"{path} cannot be read: {error} (remove it, or measure again)") from error

    def record(self, line: Mapping[str, Any]) -> None:
        """Appends one line to ``metrics.jsonl``."""
        with writing(self.metrics_path), self.metrics_path.open("a+b") as file:
            # After a crash the file may end in half a line, which must not swallow this one.
            file.seek(max(0, file.tell() - 1))
            start = b"\n" if file.read() not in (b"", b"\n") else b""
            file.write(start + json.dumps(dict(line)).encode() + b"\n")

    def forget_after(self, step: int) -> None:
        """Drops the lines of steps that a resumed run will take again, and those that are damaged."""
        kept = [line for line in self.metrics() if isinstance(at := line.get("step", 0), int) and at <= step]
        atomic_write(self.metrics_path, "".join(json.dumps(line) + "\n" for line in kept))

    def log(self, message: str) -> None:
        """Appends one dated line to ``log.txt``."""
        path = self.path / "log.txt"
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')}  {message}\n")


def worn_by(place: str | Path) -> str | None:
    """Returns by which option ``kakusan generate`` draws with what a run has taught a pipeline; None where a directory
    holds nothing of that kind."""
    found = [option for name, option in _WORN.items() if (Path(place) / name).exists()]
    return f"{found[0]} {place}" if found else None
