"""A row of boxes, each with an arrow to the next: what passes through what."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from kakusan.reporting.canvas import ACCENT, QUIET, panel
from kakusan.reporting.language import Language

_WIDTH, _HEIGHT, _STEP = 0.78, 0.5, 1.0
_DATA = ("image", "latents")  # what passes; all others are what it passes through


def row(say: Language, name: str, boxes: Sequence[tuple[str, str]]) -> Markup:
    """Draws boxes.

    Args:
        say: The language.
        name: Unlike that of any other panel of the page.
        boxes: Of each its name in the catalogue, and what stands below it: another name there, or a shape.
    """

    def draw(axes: Axes) -> None:
        for place, (key, below) in enumerate(boxes):
            x = place * _STEP
            colour = QUIET if key in _DATA else ACCENT
            style = "round,pad=0,rounding_size=0.08"
            axes.add_patch(
                FancyBboxPatch((x, 0), _WIDTH, _HEIGHT, boxstyle=style, fill=False, edgecolor=colour, linewidth=1.4)
            )
            axes.text(x + _WIDTH / 2, _HEIGHT / 2, say(f"diagram.{key}"), ha="center", va="center", fontsize=7)
            under = say(f"diagram.{below}") if say.knows(f"diagram.{below}") else below
            axes.text(x + _WIDTH / 2, -0.14, under, ha="center", va="center", fontsize=6.5)
            if place:
                start, end = (x - _STEP + _WIDTH + 0.02, _HEIGHT / 2), (x - 0.02, _HEIGHT / 2)
                axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": QUIET, "linewidth": 1.2})
        axes.set(xlim=(-0.05, _STEP * len(boxes)), ylim=(-0.3, _HEIGHT + 0.1))
        axes.set_axis_off()

    return panel(name, draw, height=0.9)
