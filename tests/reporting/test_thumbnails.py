"""Pictures that are larger than a page shows are shrunk, and others left alone."""

import pytest
import torch

from kakusan.reporting import thumbnails


@pytest.mark.parametrize(
    ("of", "at"),
    [((8, 8), (8, 8)), ((64, 64), (64, 64)), ((256, 256), (64, 64)), ((96, 128), (48, 64)), ((1, 1000), (1, 64))],
)
def test_the_longer_side_is_at_most_64(of, at):
    assert thumbnails.size(*of) == at
    assert thumbnails.shrunk(torch.zeros(2, 3, *of)).shape == (2, 3, *at)


def test_small_ones_stay_as_they_are():
    images = torch.rand(2, 1, 28, 28)
    assert thumbnails.shrunk(images) is images


def test_a_pixel_is_the_mean_of_what_it_covers():
    images = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    expected = images.reshape(2, 3, 64, 4, 64, 4).mean((3, 5))
    torch.testing.assert_close(thumbnails.shrunk(images), expected)
