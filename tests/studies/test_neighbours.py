"""The nearest image is the nearest one, whatever the chunks, and a copy lies at no distance at all."""

import pytest
import torch

from kakusan.data.images import ImageSet
from kakusan.pictures import from_uint8
from kakusan.seeing.sources import Stored
from kakusan.studies import neighbours as study
from kakusan.studies.neighbours import nearest, neighbours
from tests import tiny

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (53, 3, 4, 6), dtype=torch.uint8, generator=GENERATOR)
QUERIES = torch.rand(7, 3, 4, 6, generator=GENERATOR) * 2 - 1


def all_distances(queries, images):
    """Returns every distance, by the definition."""
    return (queries.double()[:, None] - images.double()[None]).flatten(2).square().sum(2).sqrt()


@pytest.mark.parametrize("chunk", [1, 10, 4096])
@pytest.mark.parametrize("mirrored", [False, True])
def test_it_is_the_nearest_whatever_the_chunks(monkeypatch, chunk, mirrored):
    monkeypatch.setattr(study, "_CHUNK", chunk)
    images = from_uint8(IMAGES)
    candidates = torch.cat([images, images.flip(-1)]) if mirrored else images
    expected, place = all_distances(QUERIES, candidates).min(1)
    found, distances = nearest(QUERIES, IMAGES, torch.arange(53), mirrored=mirrored)
    torch.testing.assert_close(distances, expected)
    assert torch.equal(found, candidates[place])


@pytest.mark.parametrize("chunk", [10, 4096])
def test_an_image_is_not_its_own_neighbour_nor_is_its_mirror_image(monkeypatch, chunk):
    monkeypatch.setattr(study, "_CHUNK", chunk)
    images = from_uint8(IMAGES)
    chosen = torch.tensor([52, 3, 17])
    both = torch.stack([all_distances(images, images), all_distances(images, images.flip(-1))])
    both[:, range(53), range(53)] = torch.inf
    _, distances = nearest(images[chosen], IMAGES, torch.arange(53), mirrored=True, but=chosen)
    torch.testing.assert_close(distances, both.amin((0, 2))[chosen])


def test_a_copy_lies_at_no_distance_at_all():
    data = ImageSet(IMAGES, name="noise")
    for copies, mirrored in ((IMAGES[5:9], False), (IMAGES[5:9].flip(-1), True)):
        found = neighbours(from_uint8(copies), Stored(data, mirrored=mirrored))
        assert found.distances.tolist() == [0] * 4
        assert torch.equal(found.nearest, found.samples)
    assert neighbours(from_uint8(IMAGES[5:9].flip(-1)), Stored(data)).distances.min() > 1


def test_what_was_held_out_was_not_learned_from():
    data = Stored(ImageSet(IMAGES), held_out=torch.tensor([5, 9]))
    found = neighbours(from_uint8(IMAGES[[5, 6]]), data)
    assert found.distances[0] > 1
    assert found.distances[1] == 0
    assert len(found.real) == 51


def test_rows_of_samples_are_taken_one_by_one_and_real_images_beside_them():
    found = neighbours(QUERIES[:6].reshape(2, 3, 3, 4, 6), Stored(ImageSet(IMAGES)))
    assert torch.equal(found.samples, QUERIES[:6])
    assert found.distances.shape == (6,)
    assert found.real.shape == (53,)
    assert found.real.min() > 0


def test_large_pictures_are_compared_as_they_are_shown():
    large = ImageSet(torch.randint(0, 256, (3, 1, 256, 128), dtype=torch.uint8, generator=GENERATOR))
    found = neighbours(from_uint8(large.images[:1]), Stored(large))
    assert found.nearest.shape == (1, 1, 64, 32)
    assert found.distances.item() == 0


@pytest.mark.parametrize("data", [tiny.pictures(1, (3, 4, 6), labelled=False), tiny.pictures(4, (3, 8, 8))])
def test_without_another_image_of_the_samples_shape_there_are_none(data):
    assert neighbours(QUERIES, Stored(data)) is None
