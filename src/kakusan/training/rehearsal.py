"""A training that stops once its pace is known, and keeps nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from kakusan.data.batches import Batch, Batches
from kakusan.devices import synchronize
from kakusan.seeds import Draws
from kakusan.training.engine import Engine

_WARM_UP = 3  # steps: the first compile, allocate and fill caches; fewer where one takes long


@dataclass(frozen=True)
class Pace:
    """How fast training goes.

    Attributes:
        step_seconds: Time of a step.
        data_wait: Share of it spent waiting for the batch.
        start_seconds: What the first steps took beyond their pace: compiling, and the like.
        steps: How many were timed.
    """

    step_seconds: float
    data_wait: float
    start_seconds: float
    steps: int


class _EnoughError(Exception):
    """Enough steps were timed."""


class Stopwatch:
    """Batches that time the steps which take them, and end training once that has gone on for a while.

    Args:
        batches: Where batches come from.
        seconds: How long to measure, after a few steps that do not count.
        progress: Called at every step with the seconds measured so far.
    """

    def __init__(self, batches: Batches, seconds: float, progress: Callable[[float], object]) -> None:
        self._batches, self._enough, self._progress = batches, seconds, progress
        self._warm: int | None = None  # steps before those that count; None while these go on
        self._calls = 0
        self._created = self._since = self._last = time.perf_counter()
        self._waited = 0.0
        self.pace: Pace | None = None

    @property
    def epoch(self) -> int | None:
        return self._batches.epoch

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._batches.shape

    def __call__(self, draws: Draws, device: torch.device) -> Batch:
        now = time.perf_counter()
        if self._warm is None:
            # The first step says little of the others.
            if self._calls == _WARM_UP or (self._calls > 1 and now - self._last > self._enough / 2):
                synchronize(device)
                self._warm, self._since, self._waited = self._calls, time.perf_counter(), 0.0
        elif now - self._since >= self._enough:
            self._end(self._calls - self._warm, device)
        self._calls += 1
        before = self._last = time.perf_counter()
        self._progress(0.0 if self._warm is None else min(before - self._since, self._enough))
        batch = self._batches(draws, device)
        self._waited += time.perf_counter() - before
        return batch

    def _end(self, steps: int, device: torch.device) -> None:
        synchronize(device)  # what was only asked for so far has to be done
        took = time.perf_counter() - self._since
        start = self._since - self._created - (self._warm or 0) * took / steps
        self.pace = Pace(took / steps, self._waited / took, max(0.0, start), steps)
        raise _EnoughError


def rehearse(engine: Engine, stopwatch: Stopwatch) -> Pace:
    """Trains until the stopwatch has seen enough.

    Args:
        engine: Made with the stopwatch for its batches, and with more steps to take than there is time for.
        stopwatch: That one.
    """
    try:
        engine.train()
    except _EnoughError:
        assert stopwatch.pace is not None, "it has been measured"
        return stopwatch.pace
    raise KeyboardInterrupt  # the one other way to end so long a training
