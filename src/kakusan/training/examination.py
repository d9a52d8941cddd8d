"""A measurement of samples in the middle of training: who makes it is given to the engine, which says when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from kakusan.sampling import Progress

Examine = Callable[[nn.Module, int, Progress], dict[str, Any]]
"""From the averaged network, the images that it has seen, and what shall be called as samples are drawn, to what the
line of the books says: under one of :data:`MEASURED`."""

MEASURED = frozenset({"evaluation", "measurements"})


@dataclass(frozen=True)
class Examination:
    """What is measured of samples, and when.

    Attributes:
        every: Images between two measurements.
        examine: What measures; None in a process that keeps the timetable alone.
    """

    every: int
    examine: Examine | None


class UnfinishedError(Exception):
    """A measurement was ended before it found anything."""


def until(stop: threading.Event) -> Progress:
    """Returns what ends a measurement as soon as somebody wishes for the end of training."""

    def progress(done: int, total: int) -> None:
        if stop.is_set():
            raise UnfinishedError

    return progress
