"""Samplers side by side: what each costs, how well it does, and what the numbers allow to be said."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from kakusan import proportions
from kakusan.config.names import sampler_title
from kakusan.reporting.canvas import ACCENT, QUIET, panel
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language
from kakusan.reporting.protocol import in_words
from kakusan.reporting.quantities import doubt
from kakusan.results import Measured, SamplerResult, Value


def section(say: Language, measured: Measured) -> Section | None:
    """Compares samplers beside real images."""
    rows, judged = measured.samplers, measured.judgement
    if not rows or judged is None:
        return None
    title = finding(say, rows)
    figure = Figure(
        title=title,
        content=curves(say, rows, judged.noise_floor, judged.noise_floor_spread),
        caption=say("samplers.caption"),
        alt=say("samplers.alt", title=title),
    )
    table = fragment(
        "samplers.html.jinja",
        say,
        rows=[(sampler_title(row.name), label(say, row), row, _range(say, row)) for row in rows],
        longest=_longest(rows),
        speed_up=speed_up(say, rows),
        reasons=[
            why_no_distance(say, row, judged.protocol.get("n", 0)) for row in rows if row.frechet_distance is None
        ],
        judged=judged,
        machine=measured.machine,
        protocol=in_words(say, judged.protocol),
    )
    return Section("samplers", say("samplers.heading"), figure, table)


def _range(say: Language, row: SamplerResult) -> str:
    """Returns the interval of a distance, in words."""
    if row.frechet_distance is None:
        return ""
    return doubt(say, "distance", Value(value=row.frechet_distance, interval=row.frechet_distance_interval))


def label(say: Language, row: SamplerResult) -> str:
    """Returns sampler and steps, in words."""
    return say("samplers.label", name=sampler_title(row.name), steps=row.steps)


def as_accurate(row: SamplerResult, other: SamplerResult) -> bool:
    """Whether ``row`` gets the class right as often as ``other``, or is behind by no more than chance explains."""
    if row.class_accuracy is None or other.class_accuracy is None:
        return False
    return proportions.as_large(row.class_accuracy, row.images, other.class_accuracy, other.images)


def finding(say: Language, rows: Sequence[SamplerResult]) -> str:
    """Returns what the comparison found: the quickest sampler that is as accurate as the one with most network calls.

    Args:
        say: The language.
        rows: At least one.
    """
    longest = _longest(rows)
    quicker = [row for row in rows if row.seconds_per_image < longest.seconds_per_image]
    if not quicker:
        return say("samplers.alone", sampler=label(say, longest), seconds=longest.seconds_per_image)
    fit = [row for row in quicker if as_accurate(row, longest)]
    best = min(fit or quicker, key=lambda row: row.seconds_per_image)
    values = {
        "sampler": label(say, best),
        "longest": label(say, longest),
        "times": longest.seconds_per_image / best.seconds_per_image,
    }
    if best.class_accuracy is None or longest.class_accuracy is None:
        return say("samplers.unknown", **values)
    if fit:
        return say("samplers.as_accurate", **values)
    shares = {"accuracy": best.class_accuracy, "longest_accuracy": longest.class_accuracy}
    return say("samplers.none", **values, **shares)


def speed_up(say: Language, rows: Sequence[SamplerResult]) -> str:
    """Returns how many times faster the longest walk of DDIM is than that of DDPM; empty where one was not timed."""
    ddpm, ddim = ([row for row in rows if row.name == name] for name in ("ddpm", "ddim"))
    if not ddpm or not ddim:
        return ""
    slow, fast = _longest(ddpm), _longest(ddim)
    return say(
        "samplers.speed_up",
        slow=label(say, slow),
        fast=label(say, fast),
        slow_seconds=slow.seconds_per_image,
        fast_seconds=fast.seconds_per_image,
        times=slow.seconds_per_image / fast.seconds_per_image,
    )


def why_no_distance(say: Language, row: SamplerResult, n: int) -> str:
    """Returns why a row has no distance, as far as its numbers tell.

    Args:
        say: The language.
        row: The row.
        n: Images that a distance is taken of.
    """
    if row.images < n:
        return say("samplers.few_drawn", sampler=label(say, row), n=n, images=row.images)
    return say("samplers.later", sampler=label(say, row))


def curves(say: Language, rows: Sequence[SamplerResult], floor: float, floor_spread: float) -> Markup:
    """Draws class accuracy and distance against network calls, in a panel each; a panel without a number is left out.

    Args:
        say: The language.
        rows: The samplers.
        floor: Distance of real images from real images, drawn as a line.
        floor_spread: Its standard deviation, drawn as a band.
    """

    def draw_accuracy(axes: Axes) -> None:
        for above, row in _alternately(accurate):
            assert row.class_accuracy is not None
            low, high = (100 * end for end in proportions.interval(row.class_accuracy, row.images))
            axes.plot([row.nfe, row.nfe], [low, high], color=QUIET, linewidth=1.2)
            axes.plot(row.nfe, 100 * row.class_accuracy, "o", color=ACCENT)
            _label(axes, row, high if above else low, above)
        _calls(say, axes, accurate, say("samplers.accuracy"))
        axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 100])

    def draw_distance(axes: Axes) -> None:
        axes.axhline(floor, color=QUIET, linestyle="dashed", linewidth=1.2, label=say("samplers.floor"))
        axes.axhspan(floor - floor_spread, floor + floor_spread, color=QUIET, alpha=0.2, linewidth=0)
        for above, row in _alternately(measured):
            assert row.frechet_distance is not None
            ends = row.frechet_distance_interval or (row.frechet_distance, row.frechet_distance)
            axes.plot([row.nfe, row.nfe], ends, color=QUIET, linewidth=1.2)
            axes.plot(row.nfe, row.frechet_distance, "o", color=ACCENT)
            _label(axes, row, ends[1] if above else ends[0], above)
        _calls(say, axes, measured, say("answer.distance"))
        axes.set_ylim(
            0, 1.25 * max((row.frechet_distance_interval or [row.frechet_distance or 0])[-1] for row in measured)
        )
        axes.legend(loc="lower right")

    accurate = [row for row in rows if row.class_accuracy is not None]
    measured = [row for row in rows if row.frechet_distance is not None]
    panels = [panel("accuracy", draw_accuracy)] if accurate else []
    panels += [panel("distance", draw_distance)] if measured else []
    return Markup("").join(panels)


def _longest(rows: Sequence[SamplerResult]) -> SamplerResult:
    return max(rows, key=lambda row: row.nfe)


def _alternately(rows: Sequence[SamplerResult]) -> list[tuple[bool, SamplerResult]]:
    """Sorts rows by cost and sends every second label below its point, where the neighbours' do not reach."""
    return [(place % 2 == 0, row) for place, row in enumerate(sorted(rows, key=lambda row: row.nfe))]


def _label(axes: Axes, row: SamplerResult, height: float, above: bool) -> None:
    axes.annotate(
        f"{sampler_title(row.name)} {row.steps:,}",
        (row.nfe, height),
        xytext=(0, 7 if above else -7),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        fontsize=8.5,
    )


def _calls(say: Language, axes: Axes, rows: Sequence[SamplerResult], quantity: str) -> None:
    calls = sorted({row.nfe for row in rows})
    axes.set_xscale("log")
    axes.set(xlabel=say("samplers.calls"), ylabel=quantity, xlim=(calls[0] / 2, calls[-1] * 2))
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(y=0.3)
