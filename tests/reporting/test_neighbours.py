"""Copies are called so where they are, and nowhere else."""

import re
from dataclasses import replace

import pytest
import torch

from kakusan.reporting.language import language, languages
from kakusan.reporting.sections.neighbours import finding, section
from kakusan.reporting.shown import Neighbours

ENGLISH = language("en")


def found(distances, real=None):
    """Returns neighbours at these distances; real ones lie 2 to 4 apart unless told otherwise."""
    images = torch.rand(len(distances), 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    real = torch.linspace(2, 4, 501, dtype=torch.float64) if real is None else real
    return Neighbours(images, -images, torch.as_tensor(distances, dtype=torch.float64), real)


def test_samples_as_far_away_as_real_images_show_no_sign_of_copying():
    assert finding(ENGLISH, found([1.9, 2.37, 3.5])) == (
        "No sign of copying: the median sample lies 2.37 from the nearest training image, "
        "and the median real image 3.00 from the nearest other one"
    )


@pytest.mark.parametrize("copies", [10, 100])
def test_copies_are_counted(copies):
    assert finding(ENGLISH, found([0.0] * copies + [3.0] * (100 - copies))) == (
        f"{copies} of 100 samples may be copies: they lie less than half as far from a training image as the median "
        "real image lies from the nearest other one, 3.00"
    )


def test_what_real_images_do_as_well_is_no_copying():
    real = torch.tensor([0.0] * 50 + [3.0] * 450, dtype=torch.float64)
    assert finding(ENGLISH, found([0.0] * 10 + [3.0] * 90, real)).startswith("No sign of copying")


def test_what_is_near_but_not_half_as_far_is_no_copy():
    assert finding(ENGLISH, found([1.51] * 100)).startswith("No sign of copying")
    assert finding(ENGLISH, found([1.49] * 100)).startswith("100 of 100 samples may be copies")


def test_noise_is_not_praised_for_being_no_copy():
    assert finding(ENGLISH, found([9.0] * 100)) == (
        "The median sample lies 9.00 from the nearest training image, farther than 100.0\N{NO-BREAK SPACE}% of "
        "real images lie from the nearest other one: no copies, but not yet like the data either"
    )
    assert finding(ENGLISH, found([3.8] * 100)).startswith("No sign of copying")


@pytest.mark.parametrize("code", languages())
@pytest.mark.parametrize("n", [1, 4, 100])
def test_pairs_are_shown_with_their_distances_and_the_curves_with_their_numbers(code, n):
    neighbours = found([2 + i / 1000 for i in range(n)])
    figure = section(language(code), neighbours).figure
    distances = re.findall(r"<span>([\d.]+)</span>", figure.content)
    assert len(distances) == min(n, 10)
    assert distances[-1] == f"{neighbours.distances[-1]:.2f}"
    assert len(re.findall(r'<img [^>]*alt="[^"]+"', figure.content)) == 2 * len(distances)
    assert figure.content.count("<svg") == 1
    assert {str(n), "501"} <= set(re.findall(r"\d+", figure.caption))
    assert figure.title in figure.alt


def test_even_copies_of_copies_can_be_drawn():
    nowhere = replace(found([0.0, 0.0]), real=torch.zeros(3, dtype=torch.float64))
    assert section(ENGLISH, nowhere).figure.content.count("<svg") == 1


def test_without_any_there_is_no_section():
    assert section(ENGLISH, None) is None
