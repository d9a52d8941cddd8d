"""Schedules are told by when they have lost half of the signal."""

import re

import pytest

from kakusan import schedules as real
from kakusan.reporting.language import language
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
