"""A mirrored image mirrored again is itself."""

import torch

from kakusan.data.augment import flip

IMAGES = torch.arange(48.0).view(4, 1, 3, 4)


def test_only_the_chosen_images_are_mirrored():
    mask = torch.tensor([True, False, False, True])
    flipped = flip(IMAGES, mask)
    assert torch.equal(flipped[~mask], IMAGES[~mask])
    assert torch.equal(flipped[mask], IMAGES[mask][..., [3, 2, 1, 0]])
    assert torch.equal(flip(flipped, mask), IMAGES)
