"""The loss is told from end to end, and drawn where it is a number."""

import re

import pytest

from kakusan.reporting.language import language
from kakusan.reporting.sections import loss

SAY = language("en")
LINES = [{"step": k, "images": 100 * k, "loss": 1 / k} for k in range(1, 20)]
EPOCHS = [{"step": k, "images": 100 * k, "epoch": k, "epoch_loss": 1 / k} for k in (5, 10, 15)]


def words(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def told(losses):
    lines = [{"images": 100 * k, "loss": value} for k, value in enumerate(losses, start=1)]
    return loss.section(SAY, lines).figure


def test_it_fell_or_rose():
    assert told([1.0, 0.6, 0.55, 0.2]).title == "The loss fell from 1.00 to 0.200 in 400 images"
    assert told([0.2, 0.55, 0.6, 1.0]).title == "The loss rose from 0.200 to 1.00 in 400 images"
    assert told([1.0]).title == "The loss was 1.00 after 100 images"


def test_half_of_the_fall_is_where_half_of_it_was_over():
    assert told([1.0, 0.6, 0.55, 0.2]).caption.endswith("half of the fall was over after 200 images.")
    assert "fall" not in told([0.2, 0.55, 0.6, 1.0]).caption


def test_the_wait_for_images_is_told_where_it_is_known():
    lines = [{**line, "data_wait": wait} for line, wait in zip(LINES, (0.01, 0.03), strict=False)]
    caption = loss.section(SAY, lines).figure.caption
    assert caption.endswith(". Of the time, 2.0\N{NO-BREAK SPACE}% was spent waiting for images.")
    assert "waiting" not in loss.section(SAY, LINES).figure.caption


def test_means_are_of_epochs_once_there_are_two_and_skip_what_is_no_number():
    broken = {"step": 9, "images": 900, "loss": float("inf")}
    assert loss.mean_losses(LINES + EPOCHS) == ([500, 1000, 1500], [1 / 5, 1 / 10, 1 / 15])
    assert loss.mean_losses([*LINES[:2], broken, EPOCHS[0]]) == ([100, 200], [1.0, 0.5])
    assert loss.mean_losses([broken]) == ([], [])


def test_losses_that_span_a_range_are_drawn_on_a_logarithmic_axis():
    assert {"0.1", "0.2", "0.5", "1"} <= set(words(loss.curve(SAY, LINES + EPOCHS)))
    near = [{**line, "loss": 1 + line["loss"] / 100} for line in LINES]
    assert not {"0.1", "0.2", "0.5"} & set(words(loss.curve(SAY, near)))


@pytest.mark.parametrize("lines", [[], [{"evaluation": {}}], [{"images": 1, "loss": float("nan")}]])
def test_without_a_loss_there_is_no_section(lines):
    assert loss.section(SAY, lines) is None
