"""Where a model is weak, and whether it was better before, is said from what was recorded."""

import re

import pytest

from kakusan.reporting.language import language, languages
from kakusan.reporting.sections import held_out
from kakusan.reporting.sections.held_out import finding, losses_in, section

ENGLISH = language("en")
EDGES = (9.0, 1.5, -2.0, -19.1)


def line(images, *levels, **changes):
    mean = sum(levels) / len(levels)
    return {"images": images, "held_out_loss": mean, "held_out_levels": levels, "log_snr": EDGES, **changes}


def told(*lines):
    return finding(ENGLISH, losses_in(lines))


def test_the_level_where_most_is_left_is_named():
    assert told(line(100, 0.9, 0.9, 0.9), line(200, 0.1, 0.5, 0.3)) == (
        "On images kept out of training, the loss fell from 0.900 to 0.300; "
        "most of it is left at log-SNR \N{MINUS SIGN}2.00 to 1.50"
    )


def test_a_loss_that_rises_again_is_told_with_when_it_was_best():
    assert told(line(100, 0.9, 0.9, 0.9), line(1200, 0.2, 0.2, 0.2), line(1300, 0.25, 0.25, 0.25)) == (
        "On images kept out of training, the loss was best, 0.200, after 1,200 images, and has risen to 0.250 since"
    )


def test_a_single_one_is_a_number():
    assert told(line(1, 0.5, 0.5, 0.5)) == "On images kept out of training, the loss was 0.500 after 1 image"


def test_without_levels_only_the_mean_is_told():
    plain = {"held_out_levels": (), "log_snr": ()}
    lines = [line(100, 0.5, **plain), line(200, 0.25, **plain)]
    assert told(*lines) == "On images kept out of training, the loss fell from 0.500 to 0.250"
    assert section(ENGLISH, lines).figure.content.count("<svg") == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"held_out_loss": float("nan")},
        {"held_out_loss": None},
        {"held_out_levels": (0.1, "x", 0.2)},
        {"log_snr": EDGES[:-1]},
        {"images": None},
    ],
)
def test_what_is_damaged_is_left_out(damage):
    whole = line(100, 0.9, 0.9, 0.9)
    assert [loss.images for loss in losses_in([whole, {**whole, **damage}, {"loss": 1.0}])] == [100]
    assert section(ENGLISH, [{**whole, **damage}]) is None


@pytest.mark.parametrize("code", languages())
def test_levels_have_their_edges_the_noisiest_left_and_curves_their_names(code):
    say = language(code)
    found = losses_in([line(100, 0.9, 0.8, 0.7), line(234, 0.1, 0.5, 0.3)])
    words = re.findall(r"<text[^>]*>([^<]*)</text>", held_out.levels(say, found))
    shown = [word for word in words if word in {say.number(edge) for edge in EDGES}]
    assert shown == [say.number(edge) for edge in EDGES[::-1]]
    assert any("100" in word for word in words)
    assert any("234" in word for word in words)
    figure = section(say, [line(100, 0.9, 0.8, 0.7), line(234, 0.1, 0.5, 0.3)]).figure
    assert figure.content.count("<svg") == 2
    assert figure.title in figure.alt
