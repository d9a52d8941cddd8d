"""Classifier-free guidance: what a larger scale does to samples of the same seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from torch import Tensor

from kakusan.config.names import SAMPLERS
from kakusan.reporting.canvas import ACCENT, INK, QUIET, panel
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language
from kakusan.reporting.proportions import as_large
from kakusan.reporting.thumbnails import fitting

_COLUMNS = 10
_BYTES = 200_000  # of pixels, all scales together


@dataclass(frozen=True)
class Row:
    """One scale, as measured.

    Attributes:
        guidance: The scale w.
        images: How many were drawn, each class in turn.
        class_accuracy: Share recognised as the class that was asked for.
        saturated: Share of values that are the darkest or the brightest a picture can hold.
        sampler: How they were drawn.
        steps: In how many steps.
        threshold: How predicted pixels were kept in range.
        seed: Of the samples.
    """

    guidance: float
    images: int
    class_accuracy: float
    saturated: float
    sampler: str
    steps: int
    threshold: str
    seed: int = 0


def rows(metrics: Mapping[str, Any]) -> list[Row]:
    """Returns the scales of a ``metrics.json``, the smallest first; none where they were not measured."""
    there = [Row(**{name: row[name] for name in Row.__dataclass_fields__}) for row in metrics.get("guidance", [])]
    return sorted(there, key=lambda row: row.guidance)


def columns(scales: int, classes: int, shape: tuple[int, int, int]) -> int:
    """Returns how many samples of ``shape`` (C, H, W) a page has room for at each scale, one a class."""
    return min(_COLUMNS, classes, fitting(shape, _BYTES // scales))


def section(say: Language, metrics: Mapping[str, Any], pictures: Tensor | None) -> Section | None:
    """Shows what guidance does.

    Args:
        say: The language.
        metrics: Of ``metrics.json``: the scales, and how saturated and how recognisable real images are.
        pictures: Values in [-1, 1], shape (scales, columns, C, H, W), a column a class and a seed.
    """
    scales = rows(metrics)
    if not scales or pictures is None:
        return None
    real = metrics["real_saturated"]
    title = finding(say, scales, real)
    table = fragment(
        "guidance.html.jinja",
        say,
        rows=list(zip(scales, pictures, strict=True)),
        columns=pictures.shape[1],
        real_accuracy=metrics["classifier_accuracy"],
        real_saturated=real,
    )
    first = scales[0]
    figure = Figure(
        title=title,
        content=table + curve(say, scales, real),
        caption=say(
            "guidance.caption",
            images=first.images,
            sampler=SAMPLERS[first.sampler].title if first.sampler in SAMPLERS else first.sampler,
            steps=first.steps,
            threshold=say(f"guidance.threshold_{first.threshold}"),
        ),
        alt=say("guidance.alt", title=title),
    )
    return Section("guidance", say("guidance.heading"), figure)


def finding(say: Language, scales: Sequence[Row], real: float) -> str:
    """Says from which scale on accuracy grows no more than chance explains, and from which on pixels saturate.

    Args:
        say: The language.
        scales: At least one, the smallest first.
        real: Share of saturated values in real images.
    """
    grown = next(row for place, row in enumerate(scales) if all(_as_accurate(row, later) for later in scales[place:]))
    over = [row for row in scales if row.saturated > real]
    accuracy = say("guidance.grows" if grown is scales[-1] else "guidance.grown", scale=f"{grown.guidance:g}")
    if not over:
        return say("guidance.clear", accuracy=accuracy)
    return say("guidance.saturates", accuracy=accuracy, scale=f"{over[0].guidance:g}")


def curve(say: Language, scales: Sequence[Row], real: float) -> Markup:
    """Draws accuracy and saturation against the scale, and as a line that of real images."""
    scale = [row.guidance for row in scales]

    def draw(axes: Axes) -> None:
        axes.plot(
            scale, [100 * row.class_accuracy for row in scales], "o-", color=ACCENT, label=say("guidance.accuracy")
        )
        axes.plot(scale, [100 * row.saturated for row in scales], "s-", color=INK, label=say("guidance.saturated"))
        axes.axhline(100 * real, color=QUIET, linestyle="dashed", linewidth=1.2, label=say("guidance.real_saturated"))
        axes.set(xlabel=say("guidance.scale"), ylabel=say("guidance.share"), ylim=(0, 104))
        axes.set_xticks(scale, [f"{value:g}" for value in scale])
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1))

    return panel("guidance", draw)


def _as_accurate(row: Row, other: Row) -> bool:
    return as_large(row.class_accuracy, row.images, other.class_accuracy, other.images)
