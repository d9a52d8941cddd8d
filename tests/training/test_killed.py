"""A run killed at any moment goes on from its last whole checkpoint as if nothing had happened."""

import multiprocessing
import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
import torch

import kakusan
from kakusan import files
from kakusan.errors import KakusanError
from kakusan.runs import Run
from tests.tiny import assert_same, metrics

# A checkpoint at almost every step, so that a process is as likely to be killed in one as between two.
SETTINGS = {
    "network.channels": (8,),
    "network.attention_resolutions": (),
    "network.dropout": 0.3,
    "data.flip": True,
    "training.log_every": 3,
    "training.checkpoint_every": 16,
    "training.samples_every": 40,
    "schedule.steps": 20,
    "sampling.steps": 2,
}
BATCH, STEPS = 8, 40


def train(path: Path) -> None:
    """Begins the run, or goes on with it."""
    if (path / "config.yaml").exists():
        kakusan.train(resume=path, show=False)
    else:
        length = {"steps": STEPS, "batch_size": BATCH, "device": "cpu"}
        kakusan.train("digits", run=path, overrides=SETTINGS, overwrite=True, show=False, **length)


def child(path: Path, writes: int | None) -> None:
    """Trains; kills itself in the middle of writing a file, or after the last, where ``writes`` says which."""
    torch.set_num_threads(1)
    if writes is not None:
        die_at(writes)
    train(path)


def die_at(writes: int) -> None:
    done = 0

    def write_bytes(self, content, real=Path.write_bytes):
        nonlocal done
        done += 1
        if done == writes:
            real(self, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, content)

    def flush(path, real=files._flush):
        real(path)
        if done == writes - 1 and path.is_dir():
            os.kill(os.getpid(), signal.SIGKILL)

    Path.write_bytes, files._flush = write_bytes, flush


@pytest.fixture(scope="module")
def start():
    """Starts real processes that have torch loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kakusan.api", "tests.training.test_killed"])

    def call(path: Path, writes: int | None = None):
        process = context.Process(target=child, args=(path, writes))
        process.start()
        return process

    return call


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run"
    train(path)
    return Run.open(path)


def assert_as_if_nothing_had_happened(path, whole):
    train(path)
    assert_same(whole, Run.open(path))
    assert metrics(whole) == metrics(Run.open(path))
    names = [sorted(str(file.relative_to(of)) for file in of.rglob("*")) for of in (whole.path, path)]
    assert names[0] == names[1]
    for picture in (whole.path / "samples").iterdir():
        assert picture.read_bytes() == (path / "samples" / picture.name).read_bytes()


def steps_told(path: Path) -> int:
    """Returns how far the books of a run say that it has come."""
    try:
        return max((line["step"] for line in Run(path).metrics()), default=0)
    except (OSError, KakusanError):
        return 0


@pytest.mark.slow
def test_ten_kills_at_random_moments(start, whole, tmp_path):
    """Each at some moment after the books have gone on by some lines: so it is training that is killed."""
    path, dice, moments = tmp_path / "run", random.Random(0), []
    while len(moments) < 10:
        process, target = start(path), steps_told(path) + dice.choice((1, 1, 4, 7))
        while process.is_alive() and steps_told(path) < target:
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        moments += [steps_told(path)] if process.exitcode else []
        if process.exitcode == 0:  # it came to its end first: another one
            assert_as_if_nothing_had_happened(path, whole)
            path = tmp_path / f"run-{len(moments)}"
    assert len(set(moments)) > 3
    assert_as_if_nothing_had_happened(path, whole)


@pytest.mark.slow
@pytest.mark.parametrize("writes", [1, 2, 7, 9, 12])
def test_killed_while_it_writes(start, whole, tmp_path, writes):
    """The configuration, each file of a first or later checkpoint, or just before one takes its place."""
    process = start(tmp_path / "run", writes)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert_as_if_nothing_had_happened(tmp_path / "run", whole)


def filled(path: Path, limit: int) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        kakusan.train(resume=path, steps=STEPS + 6, show=False)
    except KakusanError as error:
        os._exit(2 if "cannot write" in str(error) and "\n" not in str(error) else 3)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [9_000, 20_000])
def test_a_full_disk_leaves_the_old_checkpoints_whole(whole, tmp_path, limit):
    train(tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run" / "checkpoints").rglob("*") if path.is_file()}
    process = multiprocessing.get_context("forkserver").Process(target=filled, args=(tmp_path / "run", limit))
    process.start()
    process.join()
    assert process.exitcode == 2
    assert {
        path: path.read_bytes() for path in (tmp_path / "run" / "checkpoints").rglob("*") if path.is_file()
    } == before
    kakusan.train(resume=tmp_path / "run", steps=STEPS + 6, show=False)
