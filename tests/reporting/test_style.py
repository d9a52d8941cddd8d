"""Whoever reads the page can: its colours are far enough apart, by day, by night and on paper."""

import re
from importlib import resources
from itertools import product

import pytest

STYLE = (resources.files("kakusan.reporting") / "templates" / "page.css").read_text("utf-8")
DAY, NIGHT, PAPER = (
    dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", block)) for block in re.findall(r"(?s):root \{(.*?)\}", STYLE)
)


def luminance(colour):
    """Returns the relative luminance of a colour, as WCAG 2.2 defines it."""
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_contrast_is_measured_as_wcag_does():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize(("colours", "text"), list(product([DAY, NIGHT, PAPER], ["ink", "quiet", "accent"])))
def test_every_colour_of_text_can_be_read(colours, text):
    """WCAG 2.2, criterion 1.4.3, level AA."""
    assert contrast(colours[text], colours["paper"]) >= 4.5


def test_all_three_name_the_same_colours_and_nothing_else_has_one():
    assert DAY.keys() == NIGHT.keys() == PAPER.keys()
    rest = re.sub(r"(?s):root \{.*?\}|/\*.*?\*/|url\(#[\w-]+\)", "", STYLE)
    assert not re.search(r"#[0-9a-f]{3,8}\b|\brgba?\(|\bhsla?\(", rest)


def test_what_has_the_focus_is_seen():
    assert not re.search(r"outline:\s*(none|0)", STYLE)
