"""A panel belongs to the page: its letters, its colours, and no identifier twice."""

import re
import warnings

import matplotlib

from kakusan.reporting.axes import logarithmic
from kakusan.reporting.canvas import ACCENT, INK, QUIET, panel


def draw(axes):
    for colour in (INK, QUIET, ACCENT):
        axes.plot([0, 1], [0.01, 1], color=colour, label="拡散")
    logarithmic(axes, subs=(1, 2))
    axes.set(xlabel="時刻 x̂₀", ylabel="ᾱ < 1 & more")
    axes.legend()


def words(svg):
    """Returns the texts of a panel."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_letters_and_colours_are_those_of_the_page():
    svg = panel("curve", draw)
    assert {"拡散", "時刻 x̂₀", "ᾱ &lt; 1 &amp; more", "0.01", "0.02", "1"} <= set(words(svg))
    assert "font-family" not in svg
    assert "<style" not in svg
    assert not re.search(r"#[0-9a-f]{6}\b(?!\")", re.sub(r'(xlink:href="#|url\(#|id=")\w+', "", svg))
    for colour in ("currentColor", "var(--quiet)", "var(--accent)"):
        assert colour in svg


def test_screen_readers_pass_it_over():
    assert panel("curve", draw).startswith("<svg viewBox=")
    assert 'aria-hidden="true"' in panel("curve", draw).partition(">")[0]


def test_panels_of_other_names_share_no_identifier():
    one, other = (set(re.findall(r'\bid="([^"]*)"', panel(name, draw))) for name in ("one", "other"))
    assert one
    assert not one & other


def test_it_is_drawn_the_same_whatever_a_person_has_set(monkeypatch):
    svg = panel("curve", draw)
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 20)
    assert panel("curve", draw) == svg


def test_letters_that_matplotlib_lacks_are_the_browsers_business():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        panel("curve", draw)
