"""Figures belong to the page: its letters, its colours, and the numbers they were given."""

import re

import pytest

from kakusan.reporting import figures
from kakusan.reporting.comparison import Row

LINES = [{"step": k, "images": 100 * k, "loss": 1 / k} for k in range(1, 20)]
EPOCHS = [{"step": k, "images": 100 * k, "epoch": k, "epoch_loss": 1 / k} for k in (5, 10, 15)]
ROWS = [Row("ddim", 10, 10, 1.0, 100, 0.9, 20.0), Row("heun", 10, 19, 1.0, 100, None, None)]
DRAWN = {
    "loss": figures.loss_curve(LINES + EPOCHS),
    "schedules": figures.schedule_curves("cosine"),
    "samplers": figures.sampler_comparison(ROWS, 17.0),
}


def words(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize("svg", DRAWN.values(), ids=DRAWN.keys())
def test_letters_and_colours_are_those_of_the_page(svg):
    assert words(svg)
    assert "font-family" not in svg
    assert "<style" not in svg
    assert not re.search(r"#[0-9a-f]{6}\b(?!\")", re.sub(r'(xlink:href="#|url\(#|id=")\w+', "", svg))
    assert "currentColor" in svg
    assert "var(--accent)" in svg


def test_a_panel_is_drawn_for_each_quantity_that_was_measured():
    assert DRAWN["samplers"].count("<svg") == 2
    assert "Heun 10" not in words(DRAWN["samplers"])
    assert "DDIM 10" in words(DRAWN["samplers"])
    assert figures.sampler_comparison(ROWS[1:], 17.0) == ""


def test_losses_that_span_a_range_are_drawn_on_a_logarithmic_axis():
    assert {"0.1", "0.2", "0.5", "1"} <= set(words(DRAWN["loss"]))
    near = [{**line, "loss": 1 + line["loss"] / 100} for line in LINES]
    assert not {"0.1", "0.2", "0.5"} & set(words(figures.loss_curve(near)))


def test_only_the_schedule_that_was_trained_with_stands_out():
    assert "var(--accent)" not in figures.schedule_curves()
    assert {"linear", "cosine", "quadratic"} <= set(words(DRAWN["schedules"]))


def test_means_are_of_epochs_once_there_are_two_and_skip_what_is_no_number():
    broken = {"step": 9, "images": 900, "loss": float("inf")}
    assert figures.mean_losses(LINES + EPOCHS) == ([500, 1000, 1500], [1 / 5, 1 / 10, 1 / 15])
    assert figures.mean_losses([*LINES[:2], broken, EPOCHS[0]]) == ([100, 200], [1.0, 0.5])
    assert figures.mean_losses([broken]) == ([], [])
