"""Samples beside the training images nearest to them, so that a copy would be seen."""

from __future__ import annotations

from markupsafe import Markup
from matplotlib.axes import Axes
from torch import Tensor

from kakusan.proportions import as_large
from kakusan.reporting.canvas import ACCENT, QUIET, panel
from kakusan.reporting.film import evenly
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language
from kakusan.reporting.shown import Neighbours

_FAR = 0.95  # the share of real images that has a nearer neighbour
_PAIRS, _BINS = 10, 30


def section(say: Language, neighbours: Neighbours | None) -> Section | None:
    """Shows ten samples beside their neighbours, and all distances beside those between real images."""
    if neighbours is None:
        return None
    title = finding(say, neighbours)
    shown = evenly(range(len(neighbours.samples)), _PAIRS)
    pairs = [(neighbours.samples[i], neighbours.nearest[i], neighbours.distances[i].item()) for i in shown]
    figure = Figure(
        title=title,
        content=fragment("neighbours.html.jinja", say, pairs=pairs) + histogram(say, neighbours),
        caption=say("neighbours.caption", n=len(neighbours.samples), real=len(neighbours.real)),
        alt=say("neighbours.alt", title=title),
    )
    return Section("neighbours", say("neighbours.heading"), figure)


def finding(say: Language, neighbours: Neighbours) -> str:
    """Says how far samples lie from training images, beside how far real images lie from each other.

    A sample is close where it lies within half of the median between real images. More close ones than among real
    images, and more than chance explains, are called copies. Samples far from everything, such as noise, are no news.
    """
    usual = neighbours.real.median().item()
    close, real_close = ((distances < usual / 2).double().mean().item() for distances in _both(neighbours))
    n, m = len(neighbours.distances), len(neighbours.real)
    if not as_large(real_close, m, close, n):
        return say("neighbours.copied", copies=round(close * n), n=n, usual=usual)
    median = neighbours.distances.median().item()
    if (nearer := (neighbours.real < median).double().mean().item()) >= _FAR:
        return say("neighbours.far", samples=median, share=nearer)
    return say("neighbours.new", samples=median, usual=usual)


def histogram(say: Language, neighbours: Neighbours) -> Markup:
    """Draws how often a distance occurs, of samples and of real images."""
    samples, real = (distances.double().numpy() for distances in _both(neighbours))
    farthest = 1.05 * max(samples.max(), real.max(), 1e-9)
    edges = [farthest * edge / _BINS for edge in range(_BINS + 1)]

    def draw(axes: Axes) -> None:
        axes.hist(real, edges, density=True, color=QUIET, alpha=0.45, label=say("neighbours.real"))
        axes.hist(samples, edges, density=True, histtype="step", color=ACCENT, label=say("neighbours.samples"))
        axes.set(xlabel=say("neighbours.distance"), xlim=(0, farthest))
        axes.set_yticks([])
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1))

    return panel("neighbours", draw)


def _both(neighbours: Neighbours) -> tuple[Tensor, Tensor]:
    return neighbours.distances, neighbours.real
