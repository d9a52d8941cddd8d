"""Classifier-free guidance: what a larger scale does to samples of the same seeds."""

from __future__ import annotations

from markupsafe import Markup
from matplotlib.axes import Axes
from torch import Tensor

from kakusan.config.names import sampler_title
from kakusan.proportions import as_large
from kakusan.reporting.canvas import ACCENT, INK, QUIET, panel
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language
from kakusan.reporting.thumbnails import fitting
from kakusan.results import GuidanceResult, GuidanceSweep

_COLUMNS = 10
_BYTES = 200_000  # of pixels, all scales together


def columns(scales: int, classes: int, shape: tuple[int, int, int]) -> int:
    """Returns how many samples of ``shape`` (C, H, W) a page has room for at each scale, one a class."""
    return min(_COLUMNS, classes, fitting(shape, _BYTES // scales))


def section(say: Language, sweep: GuidanceSweep | None, pictures: Tensor | None) -> Section | None:
    """Shows what guidance does.

    Args:
        say: The language.
        sweep: One scale after another, as measured.
        pictures: Values in [-1, 1], shape (scales, columns, C, H, W), a column a class and a seed.
    """
    if sweep is None or pictures is None:
        return None
    title = finding(say, sweep)
    table = fragment(
        "guidance.html.jinja",
        say,
        rows=list(zip(sweep.scales, pictures, strict=True)),
        columns=pictures.shape[1],
        real_accuracy=sweep.real_accuracy,
        real_saturated=sweep.real_saturated,
    )
    figure = Figure(
        title=title,
        content=table + curve(say, sweep),
        caption=say(
            "guidance.caption",
            images=sweep.images,
            sampler=sampler_title(sweep.sampler),
            steps=sweep.steps,
            seed=sweep.seed,
            threshold=say(f"guidance.threshold_{sweep.threshold}"),
        ),
        alt=say("guidance.alt", title=title),
    )
    return Section("guidance", say("guidance.heading"), figure)


def finding(say: Language, sweep: GuidanceSweep) -> str:
    """Says from which scale on accuracy grows no more than chance explains, and from which on pixels saturate.

    The values of a picture are no independent draws, so that a share of them counts as one of so many pictures.
    """

    def as_accurate(result: GuidanceResult, other: GuidanceResult) -> bool:
        return as_large(result.class_accuracy, sweep.images, other.class_accuracy, sweep.images)

    scales = sweep.scales
    grown = next(found for place, found in enumerate(scales) if all(as_accurate(found, it) for it in scales[place:]))
    over = [
        found for found in scales if not as_large(sweep.real_saturated, sweep.images, found.saturated, sweep.images)
    ]
    accuracy = say("guidance.grows" if grown is scales[-1] else "guidance.grown", scale=f"{grown.guidance:g}")
    if not over:
        return say("guidance.clear", accuracy=accuracy)
    return say("guidance.saturates", accuracy=accuracy, scale=f"{over[0].guidance:g}")


def curve(say: Language, sweep: GuidanceSweep) -> Markup:
    """Draws accuracy and saturation against the scale, and as a line that of real images."""
    scale = [found.guidance for found in sweep.scales]
    accuracy = [100 * found.class_accuracy for found in sweep.scales]
    saturated = [100 * found.saturated for found in sweep.scales]

    def draw(axes: Axes) -> None:
        axes.plot(scale, accuracy, "o-", color=ACCENT, label=say("guidance.accuracy"))
        axes.plot(scale, saturated, "s-", color=INK, label=say("guidance.saturated"))
        axes.axhline(
            100 * sweep.real_saturated,
            color=QUIET,
            linestyle="dashed",
            linewidth=1.2,
            label=say("guidance.real_saturated"),
        )
        axes.set(xlabel=say("guidance.scale"), ylabel=say("guidance.share"), ylim=(0, 104))
        axes.set_xticks(scale, [f"{value:g}" for value in scale])
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1))

    return panel("guidance", draw)
