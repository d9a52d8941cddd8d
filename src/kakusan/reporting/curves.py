"""Lines in one chart: a quantity against another, each line with the doubt about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from kakusan.reporting.axes import from_zero
from kakusan.reporting.canvas import ACCENT, INK, QUIET, panel
from kakusan.results import Value

_STYLES: tuple[dict[str, Any], ...] = (
    {"color": ACCENT, "linestyle": "solid"},
    {"color": INK, "linestyle": (0, (5, 1.5))},
    {"color": QUIET, "linestyle": (0, (1.2, 1.2))},
    {"color": INK, "linestyle": "solid"},
    {"color": ACCENT, "linestyle": (0, (1.2, 1.2))},
    {"color": QUIET, "linestyle": (0, (5, 1.5))},
)


@dataclass(frozen=True)
class Curve:
    """One line.

    Attributes:
        label: What it is.
        x: Where.
        y: The quantity there.
    """

    label: str
    x: Sequence[float]
    y: Sequence[Value]


def chart(
    name: str,
    curves: Sequence[Curve],
    *,
    x: str,
    y: str,
    floor: tuple[str, float] | None = None,
    growing: bool = False,
) -> Markup:
    """Draws lines, with bars for their intervals.

    Args:
        name: Unlike that of any other panel of the page.
        curves: One at least, and the first in the accent colour.
        x, y: What the axes are called.
        floor: What real images score, with its label: a dashed line.
        growing: Whether x grows by factors: each of its values is then as far from the next, and named.
    """

    def draw(axes: Axes) -> None:
        for curve, style in zip(curves, cycle(_STYLES), strict=False):
            values = [it.value for it in curve.y]
            label = curve.label if len(curves) > 1 else None  # one alone is what the axis says
            axes.plot(curve.x, values, marker="o", markersize=4.5, label=label, **style)
            for at, it in zip(curve.x, curve.y, strict=True):
                if it.interval is not None:
                    axes.plot([at, at], it.interval, color=style["color"], linewidth=1.0, alpha=0.6)
        if floor is not None:
            axes.axhline(floor[1], color=QUIET, linestyle="dashed", linewidth=1.2, label=floor[0])
        axes.set(xlabel=x, ylabel=y)
        if growing:
            places = sorted({at for curve in curves for at in curve.x})
            axes.set_xscale("log")
            axes.set_xticks(places)
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:,g}"))
        else:
            from_zero(axes)
        axes.margins(y=0.15)
        if len(curves) > 1 or floor is not None:
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    return panel(name, draw)
