"""Scales that several figures share."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, StrMethodFormatter


def from_zero(axes: Axes) -> None:
    """Makes the horizontal axis begin at 0, with counts such as images seen in full."""
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:,.0f}" if at == int(at) else f"{at:g}"))


def logarithmic(axes: Axes, subs: Sequence[float] = (1,)) -> None:
    """Makes the vertical axis logarithmic, with plain numbers at these multiples of powers of ten."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    # Plain numbers: powers of ten are set as formulas, whose letters are not the page's.
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
