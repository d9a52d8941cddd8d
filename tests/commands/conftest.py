"""The command line as a test types it, and one tiny run that all of them share."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kakusan.commands import main

TINY = (
    "--network.channels=8,16",
    "--network.attention_resolutions=",
    "--training.batch_size=8",
    "--schedule.steps=20",
    "--sampling.steps=4",
    "--sampling.batch=4",
    "--training.samples_every=0",
    "--device=cpu",
)


@dataclass(frozen=True)
class Answer:
    """What a command returned and said."""

    status: int
    out: str
    err: str

    def check_refused(self) -> str:
        """Holds that the command refused in one line and said nothing else, and returns the sentence."""
        assert self.status == 2
        assert self.out == ""
        assert self.err.startswith("kakusan: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("kakusan: ").rstrip("\n")


@pytest.fixture
def kakusan(capsys, tmp_path, monkeypatch) -> Callable[..., Answer]:
    """Runs a command in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Answer:
        status = main([str(argument) for argument in arguments])
        return Answer(status, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A run with checkpoints at 8 and 16 images; read it, or copy it."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", "digits", "--run", str(path), "--steps=2", "--training.checkpoint_every=8", *TINY]) == 0
    return path


def files(directory: Path) -> list[str]:
    """Returns the names of the files in a directory."""
    return sorted(os.listdir(directory))
