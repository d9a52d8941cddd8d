"""Copies among samples, where it is known which they are."""

import pytest
import torch

from kakusan.evaluation import formulas
from kakusan.evaluation.copies import nearest, threshold


def normal(count, seed=0, dimensions=8):
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def test_the_nearest_is_found_and_how_far_it_lies():
    real = normal(1200)
    samples = real[[7, 1100, 3]] + 1e-4
    found = nearest(samples, real)
    assert found.indices.tolist() == [7, 1100, 3]
    torch.testing.assert_close(found.distances, (samples - real[[7, 1100, 3]]).norm(dim=1))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_share_of_copies_is_found(share):
    """Samples of the same law, of which some are training images with a little noise."""
    real, samples = normal(2000), normal(500, seed=1)
    copied = int(share * len(samples))
    samples[:copied] = real[:copied] + 0.01 * normal(copied, seed=2)
    found = formulas.copies(samples, real)["copies"]
    assert found.value == pytest.approx(share + 0.01 * (1 - share), abs=0.015)
    assert found.interval[0] <= found.value <= found.interval[1]


def test_of_real_images_that_were_held_out_one_in_a_hundred_is_as_near():
    values = [formulas.copies(normal(1000, seed), normal(1000, seed + 50))["copies"].value for seed in range(8)]
    assert sum(values) / len(values) == pytest.approx(0.01, abs=0.004)


def test_copies_within_the_real_images_do_not_move_the_threshold():
    real = normal(1000)
    doubled = torch.cat([real, real[:300]])
    assert threshold(doubled) > 0.5 * threshold(real)


def test_of_images_that_are_all_alike_nothing_is_nearer():
    assert formulas.copies(torch.zeros(4, 3), torch.zeros(5, 3))["copies"].value == 0


def test_distances_are_found_in_tiles(monkeypatch):
    real, samples = normal(700), normal(90, 1)
    whole, near = nearest(samples, real), threshold(real)
    monkeypatch.setattr("kakusan.evaluation.copies._COLUMNS", 64)
    monkeypatch.setattr("kakusan.evaluation.copies._ROWS", 50)
    tiled = nearest(samples, real)
    assert torch.equal(tiled.indices, whole.indices)
    assert torch.equal(tiled.distances, whole.distances)
    assert threshold(real) == near
