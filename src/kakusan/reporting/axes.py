"""Scales that several figures share."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter


def logarithmic(axes: Axes, subs: Sequence[float] = (1,)) -> None:
    """Makes the vertical axis logarithmic, with plain numbers at these multiples of powers of ten."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    # Plain numbers: powers of ten are set as formulas, whose letters are not the page's.
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
