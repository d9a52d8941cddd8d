"""One panel of a figure as SVG that belongs to the page: its letters, its colours, no identifier twice."""

import re
import warnings
from collections.abc import Callable
from importlib import resources
from io import StringIO

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

INK, QUIET, ACCENT = "#1c1b19", "#77736b", "#b5402a"
_COLOURS = {INK: "currentColor", QUIET: "var(--quiet)", ACCENT: "var(--accent)"}


def panel(name: str, draw: Callable[[Axes], None], height: float | None = None) -> Markup:
    """Returns what ``draw`` draws as one ``<svg>`` element, the same characters every time.

    The browser draws the letters, in the page's own font, and the colours ``INK``, ``QUIET`` and ``ACCENT`` become
    those of the page, dark or light. Screen readers pass it over: the figure around it says what it shows.

    Args:
        name: Unlike that of any other panel of the page, so that no two elements share an identifier.
        draw: Draws on empty axes.
        height: In the inches of the style, whose width is 4.4; None is the style's.
    """
    text = StringIO()
    with (
        resources.as_file(resources.files("kakusan.reporting") / "kakusan.mplstyle") as style,
        # From this file alone: what a person set in a matplotlibrc must not change the page.
        matplotlib.rc_context({"svg.hashsalt": name}, fname=style),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has them
        canvas = Canvas()
        canvas.set_figheight(height or canvas.get_figheight())
        draw(canvas.add_subplot())
        FigureCanvasSVG(canvas)
        canvas.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return Markup(_for_the_page(text.getvalue()))


def _for_the_page(svg: str) -> str:
    view, body = re.findall(r'(?s)<svg[^>]*(viewBox="[^"]*")[^>]*>(.*)', svg)[0]
    body = re.sub(r"(?s)<!--.*?-->|<style.*?</style>", "", body)  # its style sheet would style the whole page
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r'style="[^"]*"', lambda style: _restyle(style[0]), body)
    return f'<svg {view} aria-hidden="true">{body.strip()}'


def _restyle(style: str) -> str:
    style = re.sub(r" font-family: [^;\"]*;?", "", style)
    for stand_in, colour in _COLOURS.items():
        style = style.replace(stand_in, colour)
    return style
