"""Schedules are told by when they have lost half of the signal."""

import re

import pytest

from kakusan import schedules as real
from kakusan.reporting.language import language, languages
from kakusan.reporting.sections import schedules

SAY = language("en")


@pytest.mark.parametrize("name", schedules.CHAINS)
def test_half_of_the_signal_is_gone_where_it_is(name):
    bars = getattr(real, name)(1000).alphas_cumprod
    assert (bars[schedules.half_signal(name) - 1] - 0.5).abs() == (bars - 0.5).abs().min()


def test_they_are_told_in_the_order_of_their_haste():
    linear, cosine, quadratic = map(schedules.half_signal, ("linear", "cosine", "quadratic"))
    assert linear < quadratic < cosine
    assert schedules.section(SAY, "").figure.title == (
        f"Half of the signal is gone after {linear} of 1,000 steps of the linear schedule, "
        f"the quadratic one after {quadratic} and the cosine one after {cosine}"
    )


def test_only_the_one_that_was_trained_with_stands_out():
    assert "var(--accent)" not in schedules.curves(SAY)
    drawn = schedules.curves(SAY, "cosine")
    assert "var(--accent)" in drawn
    assert {"linear", "cosine", "quadratic"} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", drawn))


def test_the_one_that_was_trained_with_is_named_where_it_is_one_of_them():
    assert "this model was trained with the cosine one" in schedules.section(SAY, "cosine").figure.caption
    assert "trained" not in schedules.section(SAY, "edm").figure.caption


@pytest.mark.parametrize("code", languages())
def test_six_indices_of_each_stand_in_a_table(code):
    tables = schedules.section(language(code), "cosine").more
    rows = [re.findall(r"(?:<td>|row\">)([^<]*)", row) for row in re.findall(r"<tr><th scope=\"row.*", tables)]
    assert [row[0] for row in rows] == ["0", "100", "300", "500", "700", "999"] * 3
    for _, left, signal, noise in rows:
        assert float(signal) + float(noise) == pytest.approx(100, abs=1e-3)
        assert "×" in left or float(signal) == pytest.approx(100 * float(left), abs=1e-3)
    assert [float(row[1]) for row in rows[:5]] == pytest.approx([0.9999, 0.895, 0.394, 0.0778, 0.00687], rel=1e-3)
    assert rows[5][1] == "4.04×10⁻⁵"


def test_the_range_of_beta_and_the_last_signal_head_each_table():
    ranges = re.findall(r"<small>(β[^<]*)", schedules.section(SAY, "cosine").more)
    assert ranges == [
        "β from 1.00×10⁻⁴ to 0.02000, last ᾱ 4.04×10⁻⁵",
        "β from 4.13×10⁻⁵ to 0.99900, last ᾱ 2.43×10⁻⁹",
        "β from 1.00×10⁻⁴ to 0.02000, last ᾱ 7.33×10⁻⁴",
    ]


@pytest.mark.parametrize(("own", "marked"), [("cosine", ["cosine"]), ("edm", [])])
def test_only_the_table_that_was_trained_with_stands_out(own, marked):
    assert re.findall(r'class="own">\s*<caption>(\w+)', schedules.section(SAY, own).more) == marked
