"""Samplers side by side: what each costs, how well it does, and what the numbers allow to be said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kakusan.reporting import words

_CONFIDENCE = 1.96


@dataclass(frozen=True)
class Row:
    """One sampler, as measured.

    Attributes:
        name: The sampler.
        steps: Its steps.
        nfe: Network calls an image.
        seconds: For all images together.
        images: How many were drawn.
        class_accuracy: Share recognised as the class that was asked for; None where not measured.
        frechet_distance: Distance from real images; None where not measured.
    """

    name: str
    steps: int
    nfe: int
    seconds: float
    images: int
    class_accuracy: float | None
    frechet_distance: float | None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Row:
        """Returns the row of ``metrics.json``; what else stands in it is passed over."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})

    @property
    def label(self) -> str:
        """Sampler and steps."""
        return f"{words.sampler(self.name)} with {words.several(self.steps, 'step')}"

    @property
    def seconds_per_image(self) -> float:
        """Time for one image."""
        return self.seconds / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Between what shares the true class accuracy lies with a confidence of 95 %.

        Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
        """
        assert self.class_accuracy is not None
        share, n, z2 = self.class_accuracy, self.images, _CONFIDENCE**2
        centre = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = _CONFIDENCE / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
        return max(0.0, centre - half), min(1.0, centre + half)


def as_accurate(row: Row, other: Row) -> bool:
    """Whether ``row`` gets the class right as often as ``other``, or is behind by no more than chance explains.

    The bound on the difference is Newcombe's, of 95 %, made of the two Wilson intervals.

    Source: Newcombe, "Interval Estimation for the Difference Between Independent Proportions", 1998, method 10.
    """
    if row.class_accuracy is None or other.class_accuracy is None:
        return False
    behind = other.class_accuracy - row.class_accuracy
    return behind <= math.hypot(row.interval[1] - row.class_accuracy, other.class_accuracy - other.interval[0])


def finding(rows: Sequence[Row]) -> str:
    """Returns what the comparison found: the quickest sampler that is as accurate as the one with most network calls.

    Args:
        rows: At least one.
    """
    longest = max(rows, key=lambda row: row.nfe)
    quicker = [row for row in rows if row.seconds_per_image < longest.seconds_per_image]
    if not quicker:
        return f"{longest.label} takes {words.duration(longest.seconds_per_image)} an image"
    fit = [row for row in quicker if as_accurate(row, longest)]
    best = min(fit or quicker, key=lambda row: row.seconds_per_image)
    times = f"{words.number(longest.seconds_per_image / best.seconds_per_image)} times faster"
    if best.class_accuracy is None or longest.class_accuracy is None:
        return f"{best.label} is {times} than {longest.label}; how accurate the two are was not measured"
    if fit:
        return f"{best.label} is as accurate as {longest.label}, and {times}"
    return (
        f"No quicker sampler is as accurate as {longest.label}: {best.label} is {times} and gets "
        f"{words.percent(best.class_accuracy)} of the classes right, not {words.percent(longest.class_accuracy)}"
    )


def why_no_distance(row: Row, n: int) -> str:
    """Returns why a row has no distance, as far as its numbers tell.

    Args:
        row: The row.
        n: Images that a distance is taken of.
    """
    if row.images < n:
        why = f"a distance takes {words.count(n)} images, and {words.count(row.images)} were drawn"
    else:
        why = "it was left for later"
    return f"No distance for {row.label}: {why}"
