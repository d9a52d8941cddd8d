"""A picture has emerged from where the network's guess stays right."""

import torch

from kakusan.reporting.language import language
from kakusan.reporting.sections import emergence
from kakusan.reporting.shown import Moment

SAY = language("en")
FINAL = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))


def title(walk):
    return emergence.section(SAY, walk).figure.title.replace("\N{NO-BREAK SPACE}", " ")


def test_it_is_told_from_where_the_guess_stays_right():
    guesses = [FINAL, -FINAL, 2 * FINAL + 1, FINAL]
    walk = [Moment(t, FINAL, guess) for t, guess in zip((1.0, 0.7, 0.4, 0.0), guesses, strict=True)]
    assert title(walk).startswith("From t = 0.40 on")


def test_a_guess_that_says_nothing_is_not_called_right():
    assert title([Moment(0.0, FINAL * 0, FINAL * 0)]) == "A picture takes shape in 1 step"


def test_colours_are_shown():
    assert "takes shape in 1 step" in title([Moment(0.0, torch.ones(3, 8, 8), torch.ones(3, 8, 8))])


def test_without_a_walk_there_is_no_section():
    assert emergence.section(SAY, []) is None
