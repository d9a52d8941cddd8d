"""A data set whose parts do not fit together is never made."""

import pytest
import torch

from kakusan.data import ImageSet
from kakusan.errors import KakusanError

IMAGES = torch.zeros(3, 1, 4, 5, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 1])


def test_a_set_knows_its_length_and_shape():
    images = ImageSet(IMAGES, LABELS, ("cat", "dog"))
    assert len(images) == 3
    assert images.shape == (1, 4, 5)
    assert ImageSet(IMAGES).labels is None


@pytest.mark.parametrize("images", [IMAGES.float(), IMAGES[0], IMAGES[:0]])
def test_images_are_bytes_in_batches(images):
    with pytest.raises(KakusanError, match="images must be uint8 of shape"):
        ImageSet(images)


@pytest.mark.parametrize("labels", [LABELS.int(), LABELS[:2], LABELS[:, None]])
def test_labels_are_integers_one_an_image(labels):
    with pytest.raises(KakusanError, match=r"labels must be int64 of shape \(3,\)"):
        ImageSet(IMAGES, labels, ("cat", "dog"))


@pytest.mark.parametrize("labels", [[0, 1, 2], [-1, 0, 1]])
def test_labels_stay_in_their_range(labels):
    with pytest.raises(KakusanError, match="labels must lie between 0 and 1"):
        ImageSet(IMAGES, torch.tensor(labels), ("cat", "dog"))


def test_class_names_need_labels():
    with pytest.raises(KakusanError, match="2 class names need labels"):
        ImageSet(IMAGES, None, ("cat", "dog"))


def test_it_is_shown_on_one_line():
    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    assert repr(ImageSet(images, name="pets")) == "<ImageSet pets: 3 images of 1×4×4>"
    labelled = ImageSet(images, torch.tensor([0, 1, 0]), ("cat", "dog"), "pets", captions=("a", "b", "c"))
    assert repr(labelled) == "<ImageSet pets: 3 images of 1×4×4, classes 2, captions>"
