"""The drawn figures: numbers in, SVG panels out."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from kakusan import schedules
from kakusan.reporting import words
from kakusan.reporting.canvas import ACCENT, INK, QUIET, panel
from kakusan.reporting.comparison import Row

SCHEDULES: Mapping[str, Callable[[], schedules.Chain]] = {
    "linear": schedules.linear,
    "cosine": schedules.cosine,
    "quadratic": schedules.quadratic,
}
_DASHES = {"linear": "solid", "cosine": (0, (5, 1.5)), "quadratic": (0, (1.2, 1.2))}


def mean_losses(lines: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[float]]:
    """Returns images seen and mean losses: of epochs, or of steps where not even two epochs ended."""
    images, losses = _finite(lines, "epoch_loss")
    return (images, losses) if len(losses) > 1 else _finite(lines, "loss")


def loss_curve(lines: Sequence[Mapping[str, Any]]) -> Markup:
    """Draws the training loss against images seen: every line faintly, the means of epochs on top.

    The axis of losses is logarithmic where they are positive and span more than a factor of three.

    Args:
        lines: Those of ``metrics.jsonl``.
    """
    images, losses = _finite(lines, "loss")
    epoch_images, epoch_losses = _finite(lines, "epoch_loss")

    def draw(axes: Axes) -> None:
        axes.plot(images, losses, color=QUIET, linewidth=0.9, alpha=0.7, label="steps")
        # A single epoch is a point; a line of one point would not be seen.
        axes.plot(epoch_images, epoch_losses, color=ACCENT, marker="" if len(epoch_losses) > 1 else "o", label="epochs")
        _log_where_sensible(axes, losses + epoch_losses)
        axes.set(xlabel="images seen", ylabel="loss")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=5)
        axes.legend()

    return panel("loss", draw)


def schedule_curves(highlight: str = "") -> Markup:
    """Draws β and ᾱ of the three chains over 1,000 steps, in a panel each.

    Args:
        highlight: The chain to draw in the accent colour, by its name in ``SCHEDULES``; others name none.
    """
    chains = {name: make() for name, make in SCHEDULES.items()}
    index = range(1000)

    def draw_betas(axes: Axes) -> None:
        for name, chain in chains.items():
            axes.plot(index, chain.betas, **_line(name, highlight))
        _log(axes)
        axes.set(xlabel="step", ylabel="noise added, β", ylim=(2e-5, 1.5))
        axes.legend()

    def draw_signal(axes: Axes) -> None:
        for name, chain in chains.items():
            axes.plot(index, chain.alphas_cumprod, **_line(name, highlight))
        axes.set(xlabel="step", ylabel="signal left, ᾱ")
        axes.legend()

    return panel("betas", draw_betas) + panel("signal", draw_signal)


def half_signal(name: str) -> int:
    """Returns after how many of 1,000 steps a chain of ``SCHEDULES`` keeps half of the signal's power, ᾱ = ½."""
    chain = SCHEDULES[name]()
    return round(chain.time_at(torch.zeros((), dtype=torch.float64)).item() * chain.steps)


def sampler_comparison(rows: Sequence[Row], noise_floor: float) -> Markup:
    """Draws class accuracy and distance against network calls, in a panel each; a panel without a number is left out.

    Args:
        rows: The samplers.
        noise_floor: Distance of real images from real images, drawn as a line.
    """

    def draw_accuracy(axes: Axes) -> None:
        for above, row in _alternately(accurate):
            assert row.class_accuracy is not None
            low, high = (100 * end for end in row.interval)
            axes.plot([row.nfe, row.nfe], [low, high], color=QUIET, linewidth=1.2)
            axes.plot(row.nfe, 100 * row.class_accuracy, "o", color=ACCENT)
            _label(axes, row, high if above else low, above)
        _calls(axes, accurate, "class accuracy, %")
        axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 100])

    def draw_distance(axes: Axes) -> None:
        axes.axhline(noise_floor, color=QUIET, linestyle="dashed", linewidth=1.2, label="noise floor: real images")
        for above, row in _alternately(measured):
            assert row.frechet_distance is not None
            axes.plot(row.nfe, row.frechet_distance, "o", color=ACCENT)
            _label(axes, row, row.frechet_distance, above)
        _calls(axes, measured, "Fréchet distance")
        axes.set_ylim(0, 1.25 * max(row.frechet_distance or 0 for row in measured))
        axes.legend(loc="lower right")

    accurate = [row for row in rows if row.class_accuracy is not None]
    measured = [row for row in rows if row.frechet_distance is not None]
    panels = [panel("accuracy", draw_accuracy)] if accurate else []
    panels += [panel("distance", draw_distance)] if measured else []
    return Markup("").join(panels)


def _finite(lines: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    kept = [(line["images"], line[key]) for line in lines if math.isfinite(line.get(key, math.nan))]
    return [images for images, _ in kept], [loss for _, loss in kept]


def _line(name: str, highlight: str) -> dict[str, Any]:
    return {"label": name, "linestyle": _DASHES[name], "color": ACCENT if name == highlight else INK}


def _log_where_sensible(axes: Axes, values: Sequence[float]) -> None:
    if values and min(values) > 0 and max(values) > 3 * min(values):
        _log(axes, subs=(1, 2, 5))


def _log(axes: Axes, subs: Sequence[float] = (1,)) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    # Plain numbers: powers of ten are set as formulas, whose letters are not the page's.
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _alternately(rows: Sequence[Row]) -> list[tuple[bool, Row]]:
    """Sorts rows by cost and sends every second label below its point, where the neighbours' do not reach."""
    return [(place % 2 == 0, row) for place, row in enumerate(sorted(rows, key=lambda row: row.nfe))]


def _label(axes: Axes, row: Row, height: float, above: bool) -> None:
    axes.annotate(
        f"{words.sampler(row.name)} {words.count(row.steps)}",
        (row.nfe, height),
        xytext=(0, 7 if above else -7),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        fontsize=8.5,
    )


def _calls(axes: Axes, rows: Sequence[Row], quantity: str) -> None:
    calls = sorted({row.nfe for row in rows})
    axes.set_xscale("log")
    axes.set(xlabel="network calls an image", ylabel=quantity, xlim=(calls[0] / 2, calls[-1] * 2))
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(y=0.3)
