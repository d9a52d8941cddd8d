"""Images of one's own and of their kind in turn, whatever the batch."""

import pytest
import torch

from kakusan.customising.batches import CustomBatches
from kakusan.data.images import ImageSet
from kakusan.networks.autoencoder import Posterior
from kakusan.seeds import Draws

OWN, KIND = 4, 6


@pytest.fixture
def batches():
    pairs = torch.stack([torch.arange(OWN + KIND), torch.tensor([0] * OWN + [1] * KIND)], 1)
    images = ImageSet(torch.zeros(OWN + KIND, 3, 8, 8, dtype=torch.uint8))
    latents = torch.arange(OWN + KIND).float()[:, None].expand(-1, 4)
    view = Posterior(latents, torch.full_like(latents, -60))
    return CustomBatches(images, pairs, [view], (1, 2, 2), KIND)


def drawn(batches, count, steps):
    return torch.cat([batches.indices(Draws(0, step, count)) for step in range(steps)])


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_they_come_in_turn_whatever_the_batch(batches, count):
    found = drawn(batches, count, 24 // count)
    assert torch.equal(found, drawn(batches, 24, 1))
    assert (found[::2] < OWN).all()
    assert (found[1::2] >= OWN).all()


def test_every_image_is_seen_as_often_as_others_of_its_sort(batches):
    counts = drawn(batches, 4, OWN * KIND).bincount()
    assert counts.tolist() == [2 * KIND] * OWN + [2 * OWN] * KIND


def test_each_comes_with_its_latents_and_its_prompt(batches):
    batch = batches(Draws(0, 0, 8), torch.device("cpu"))
    numbers = batches.indices(Draws(0, 0, 8))
    torch.testing.assert_close(batch.images.mean((1, 2, 3)), numbers.float())
    assert torch.equal(batch.labels, (numbers >= OWN).long())


def test_a_share_is_the_part_of_the_whole(batches):
    whole = batches.indices(Draws(0, 3, 8))
    parts = [batches.indices(Draws(0, 3, 8, slice(first, first + 2))) for first in range(0, 8, 2)]
    assert torch.equal(torch.cat(parts), whole)


def test_some_of_them_are_still_in_turn(batches):
    some = batches.only(torch.tensor([0, 2, 5, 6, 7]))
    found = drawn(some, 4, 6)
    assert set(found[::2].tolist()) == {0, 2}
    assert set(found[1::2].tolist()) == {5, 6, 7}
