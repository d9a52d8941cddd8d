"""The pace of a training is that of its steps, without those that warm up."""

from types import SimpleNamespace

import pytest
import torch

from kakusan.data.batches import ImageBatches
from kakusan.seeds import Draws
from kakusan.training import rehearsal
from kakusan.training.rehearsal import Stopwatch, rehearse
from tests import tiny


class Clock:
    """Time that passes only where somebody spends it."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(rehearsal, "time", SimpleNamespace(perf_counter=lambda: self.now))


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_the_pace_is_that_after_warming_up(clock):
    """Batches take a second each, steps three more, and the first one seven on top."""

    def batches(draws, device):
        clock.now += 1
        return "batch"

    seen = []
    stopwatch = Stopwatch(batches, 10.0, seen.append)

    def step(number):
        assert stopwatch(Draws(0, number, 1, slice(0, 1)), torch.device("cpu")) == "batch"
        clock.now += 3 + 7 * (number == 0)

    with pytest.raises(rehearsal._EnoughError):
        [step(number) for number in range(99)]
    assert (stopwatch.pace.step_seconds, stopwatch.pace.data_wait) == (4.0, 0.25)
    assert (stopwatch.pace.start_seconds, stopwatch.pace.steps) == (7.0, 3)
    assert seen == [0, 0, 0, 0, 4, 8]


def test_of_steps_that_take_long_three_are_taken(clock):
    """The first two do not count."""
    stopwatch = Stopwatch(lambda *given: "batch", 10.0, lambda done: None)

    def step():
        stopwatch(Draws(0, 0, 1, slice(0, 1)), torch.device("cpu"))
        clock.now += 30

    with pytest.raises(rehearsal._EnoughError):
        [step() for _ in range(99)]
    assert (stopwatch.pace.step_seconds, stopwatch.pace.steps) == (30.0, 1)


def test_a_rehearsal_trains_and_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stopwatch = Stopwatch(ImageBatches(tiny.pictures()), 0.0, lambda _: None)
    there = tiny.engine(batches=stopwatch, steps=10**9)
    pace = rehearse(there, stopwatch)
    assert pace.steps == there.step - 2 == 1
    assert 0 < pace.step_seconds < 5
    assert 0 <= pace.data_wait <= 1
    assert list(tmp_path.iterdir()) == []
