"""The forward process is shown as it is, and told by the numbers that are shown."""

import re

import pytest
import torch

from kakusan import schedules
from kakusan.reporting.correlation import correlation
from kakusan.reporting.language import language, languages
from kakusan.reporting.sections import forward
from tests.oracles import CHAINS, SCHEDULES

ENGLISH = language("en")
TIMES = torch.linspace(0, 1, 34, dtype=torch.float64)
DIGIT = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)).round() * 2 - 1
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())


@every_schedule
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_whole_at_first_and_noise_in_the_end(schedule, channels):
    original = DIGIT.expand(channels, 8, 8)
    noised = forward.noising(original, schedule, TIMES)
    assert noised.shape == (34, channels, 8, 8)
    torch.testing.assert_close(noised[0], original.double())
    assert abs(correlation(noised[-1], original)) < 0.3
    assert noised.abs().max() < 5


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_a_chain_is_shown_unscaled(chain):
    epsilon = forward.noising(DIGIT, schedules.RectifiedFlow(), TIMES)[-1]
    alpha, sigma = chain(TIMES[20])
    torch.testing.assert_close(forward.noising(DIGIT, chain, TIMES)[20], alpha * DIGIT + sigma * epsilon)


@every_schedule
def test_the_title_names_the_time_from_which_the_original_is_lost(schedule):
    noised = forward.noising(DIGIT, schedule, TIMES)
    alike = torch.tensor([correlation(x, DIGIT) for x in noised])
    lost = TIMES[(alike >= 0.5).nonzero().max() + 1]
    title = forward.finding(ENGLISH, DIGIT, schedule, TIMES.tolist(), noised)
    assert title == f"From t = {lost:.2f} on, the noisy picture correlates with the original by less than 0.5"


@pytest.mark.parametrize(
    ("original", "schedule", "share"),
    [(DIGIT, schedules.linear(50), "60.3"), (torch.zeros(1, 8, 8), schedules.cosine(), "0.0")],
    ids=["never lost", "one grey"],
)
def test_where_nothing_is_lost_the_title_says_what_is_left(original, schedule, share):
    title = forward.section(ENGLISH, original, schedule).figure.title.replace("\N{NO-BREAK SPACE}", " ")
    assert title == f"At t = 1, signal still makes up {share} % of the picture's power"


@pytest.mark.parametrize("code", languages())
def test_film_and_chain_stand_in_one_figure(code):
    section = forward.section(language(code), DIGIT, schedules.cosine())
    assert section.figure.content.count("<li") == 34
    assert section.figure.content.count("<circle") == 5
    assert all(re.findall(r'alt="([^"]*)"', section.figure.content))
    assert section.figure.title in section.figure.alt
    assert section.figure.caption


def test_without_a_picture_of_the_data_there_is_no_section():
    assert forward.section(ENGLISH, None, schedules.cosine()) is None
