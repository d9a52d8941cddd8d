"""Runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kakusan.results.judgement import Judgement, Measurement
from kakusan.results.value import Record

_OF_COPIES = ("held_out", "mirrored")  # what decides these alone, and no distance


class Side(Record):
    """One of several runs side by side.

    Attributes:
        run: Its directory.
        differs: Fields of its configuration in which the runs differ.
        images: Images seen.
        loss: That of its last line.
        held_out_loss: The last one; None without images held out.
        judgement: The evaluation that says most of it.
        measurements: By metric, what was measured last.
    """

    run: str
    differs: dict[str, Any]
    images: int
    loss: float | None
    held_out_loss: float | None
    judgement: Judgement | None
    measurements: dict[str, Measurement]

    @property
    def protocols(self) -> dict[str, dict[str, Any]]:
        """How every number of samples was measured, by its name."""
        how = {} if self.judgement is None else self.judgement.protocol
        told = {name: value for name, value in how.items() if name not in _OF_COPIES}
        judged = {} if self.judgement is None else dict.fromkeys(self.judgement.values, told)
        return judged | {metric: it.protocol for metric, it in self.measurements.items()}


class Comparison(Record):
    """Runs side by side.

    Attributes:
        sides: A run each.
        notes: Where numbers of one name were not measured alike, a sentence each.
        unlike: These names.
    """

    sides: tuple[Side, ...]
    notes: tuple[str, ...]
    unlike: tuple[str, ...] = ()


def shared(protocols: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what all protocols say alike, in the order of the first; nothing of none."""
    first, *others = protocols or [{}]
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns what differs between two protocols, so that numbers under them cannot be compared without a word."""
    return {name: (a.get(name), b.get(name)) for name in {**a, **b} if a.get(name) != b.get(name)}
