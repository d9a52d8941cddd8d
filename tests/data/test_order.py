"""The order of images is one walk, however it is cut into batches."""

import pytest
import torch

from kakusan.data.order import batch_indices
from kakusan.errors import KakusanError

SIZE = 10


def walk(count, batch, seed=0, size=SIZE):
    return torch.cat([batch_indices(seed, start, batch, size) for start in range(0, count, batch)])[:count]


@pytest.mark.parametrize("batch", [1, 3, 7, SIZE, 23, 60])
def test_the_walk_is_the_same_whatever_the_batch_size(batch):
    assert torch.equal(walk(60, batch), batch_indices(0, 0, 60, SIZE))


def test_every_epoch_visits_every_image_once_and_in_an_order_of_its_own():
    epochs = walk(5 * SIZE, batch=7).view(5, SIZE)
    assert (epochs.sort(dim=1).values == torch.arange(SIZE)).all()
    assert len(epochs.unique(dim=0)) == 5


def test_it_depends_on_seed_and_position_alone():
    """Asked in any order, and after its caller wrote into an answer, it answers the same."""
    first = batch_indices(0, 13, 4, SIZE)
    expected = first.clone()
    first.fill_(-1)
    batch_indices(1, 500, 4, SIZE)
    assert torch.equal(batch_indices(0, 13, 4, SIZE), expected)
    assert not torch.equal(walk(30, 10, seed=0), walk(30, 10, seed=1))


def test_a_shuffle_has_no_favourites():
    """Over many epochs every image comes first equally often: 400 times in 4,000, give or take 19."""
    first = torch.stack([batch_indices(0, epoch * SIZE, 1, SIZE) for epoch in range(4000)])
    assert (first.flatten().bincount(minlength=SIZE) - 400).abs().max() < 5 * 19


def test_a_set_of_one_image():
    assert batch_indices(0, 5, 3, 1).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("start", "count", "size"), [(-1, 1, 1), (0, 0, 1), (0, 1, 0)])
def test_an_impossible_batch_is_refused(start, count, size):
    with pytest.raises(KakusanError, match=rf"not {start}, {count} and {size}"):
        batch_indices(0, start, count, size)
