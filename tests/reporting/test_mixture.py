"""Two modes on a line are told by their points: who moves the points changes the title and the table."""

import re
from dataclasses import replace

import pytest
import torch

from kakusan.reporting.language import language, languages
from kakusan.reporting.sections import mixture
from kakusan.studies.mixture import ends
from tests.reporting.pages import two_modes

ENGLISH = language("en")
MIXTURE = two_modes()
POINTS = MIXTURE.exact


def finding(points):
    return mixture.finding(ENGLISH, points, ends(points))


def test_the_title_says_where_the_points_of_both_walks_ended():
    share = ends(MIXTURE).exact[0].share
    said = (
        f"{100 * share:.1f} % end in the left one with the exact denoiser, {100 * share:.1f} % with a trained network"
    )
    title = finding(MIXTURE).replace("\N{NO-BREAK SPACE}", " ")
    assert title == f"Both modes return: of the points walked back from noise, {said}"


@pytest.mark.parametrize("walk", ["exact", "learned"])
@pytest.mark.parametrize(
    "spoiled",
    [-POINTS.abs(), 0.4 * POINTS, torch.where(POINTS < 1.5, -POINTS.abs(), POINTS)],
    ids=["lost", "moved", "uneven"],
)
def test_modes_that_are_lost_moved_or_uneven_are_not_said_to_return(walk, spoiled):
    assert finding(replace(MIXTURE, **{walk: spoiled})).startswith("The modes do not return as they were")


def test_noise_of_a_single_mode_is_no_return_though_its_halves_are_even():
    single = torch.randn(51, 1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert finding(replace(MIXTURE, learned=single)).startswith("The modes do not return as they were")


@pytest.mark.parametrize("code", languages())
def test_the_figure_has_ten_rows_of_three_histograms_and_a_table_of_their_ends(code):
    shown = mixture.section(language(code), MIXTURE, ends(MIXTURE))
    assert re.findall(r">t = (\d+)<", shown.figure.content) == [str(index) for index in (*range(0, 45, 5), 49)]
    assert shown.figure.content.count("var(--accent)") == 30
    assert shown.more.count('<th scope="row">') == 4
    assert shown.figure.title in shown.figure.alt
    assert "0.60" in shown.figure.caption


def test_without_points_there_is_no_section():
    assert mixture.section(ENGLISH, None, None) is None
