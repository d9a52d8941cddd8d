"""Shares lie where Wilson and Newcombe say, and more images tell smaller differences apart."""

import math

import pytest

from kakusan import proportions


@pytest.mark.parametrize("share", [0.0, 0.3, 0.98, 1.0])
@pytest.mark.parametrize("images", [1, 100, 10_000])
def test_the_interval_is_wilsons(share, images):
    """Its ends are the shares p from which the measured one lies 1.96 of p's own standard errors away."""
    low, high = proportions.interval(share, images)
    assert 0 <= low < high <= 1
    for end in (low, high):
        away = 1.96 * math.sqrt(end * (1 - end) / images)
        assert abs(end - share) == pytest.approx(away, abs=1e-7)


@pytest.mark.parametrize(("images", "same"), [(100, True), (100_000, False)])
def test_more_images_tell_smaller_differences_apart(images, same):
    assert proportions.as_large(0.97, images, 0.98, images) is same
    assert proportions.as_large(0.98, images, 0.97, images)


def test_the_bound_is_newcombes():
    """Example (a) of table II of his paper: 56 of 70 against 48 of 80 differ by 0.0524 to 0.3339."""
    share, other = 48 / 80, 56 / 70
    reach = math.hypot(proportions.interval(share, 80)[1] - share, other - proportions.interval(other, 70)[0])
    assert other - share - reach == pytest.approx(0.0524, abs=5e-5)
    assert not proportions.as_large(share, 80, other, 70)


@pytest.mark.parametrize(("share", "other", "same"), [(0.84, 0.93, False), (0.66, 0.78, True)])
def test_each_interval_lends_the_end_that_faces_the_other(share, other, same):
    """84 and 93 of 100 lie from 0.7558 to 0.8990 and from 0.8625 to 0.9657 by Wilson. Their difference of 0.09 is more
    than √(0.0590² + 0.0675²) = 0.0897, and would be less than the 0.0915 of the ends that face away. With 66 and 78 it
    is the other way round: 0.12 is less than 0.1246, and more than 0.1198.
    """
    assert proportions.as_large(share, 100, other, 100) is same
