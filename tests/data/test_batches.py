"""What a step is fed is a function of seed and step; and a loader may yield as it likes."""

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from kakusan.data.batches import ImageBatches, LoaderBatches
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.seeds import Draws

CPU = torch.device("cpu")


def numbered(count, labelled=True):
    """Images whose one pixel is their number, and so is their class."""
    images = torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    if not labelled:
        return ImageSet(images)
    return ImageSet(images, torch.arange(count), tuple(map(str, range(count))))


def numbers(batch):
    return ((batch.images.flatten() + 1) * 127.5).round().long().tolist()


def walk(batches, count, size):
    """Returns the numbers of the images of the first ``count`` steps, ``size`` a step."""
    return [number for step in range(count) for number in numbers(batches(Draws(0, step, size), CPU))]


@pytest.mark.parametrize("size", [1, 4, 10, 25])
def test_every_image_once_an_epoch_whatever_the_batch(size):
    count = 50 // size
    seen = walk(ImageBatches(numbered(10)), count, size)
    for epoch in range(len(seen) // 10):
        assert sorted(seen[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert seen == walk(ImageBatches(numbered(10)), 50, 1)[: len(seen)]


def test_labels_stay_with_their_images():
    batch = ImageBatches(numbered(10))(Draws(0, 3, 7), CPU)
    assert batch.labels.tolist() == numbers(batch)
    assert ImageBatches(numbered(10, labelled=False))(Draws(0, 3, 7), CPU).labels is None


def test_pixels_are_floats_around_zero():
    images = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    batch = ImageBatches(ImageSet(images))(Draws(0, 0, 2), CPU)
    assert batch.images.dtype == torch.float32
    assert sorted(batch.images.flatten().tolist()) == [-1, 1]


def test_shares_make_up_the_batch():
    """With mirroring, which is drawn for the whole batch as well."""
    data = ImageSet(torch.randint(0, 256, (10, 3, 4, 4), dtype=torch.uint8))
    batches = ImageBatches(data, flip=True)
    whole = batches(Draws(0, 5, 6), CPU).images
    parts = [batches(Draws(0, 5, 6, share), CPU).images for share in (slice(0, 2), slice(2, 6))]
    assert torch.equal(torch.cat(parts), whole)


def test_half_of_the_images_are_mirrored_where_asked_and_else_none():
    ramp = torch.arange(4, dtype=torch.uint8).expand(100, 1, 1, 4)
    rising = [
        ImageBatches(ImageSet(ramp), flip)(Draws(0, 0, 100), CPU).images.diff()[..., 0].flatten() > 0
        for flip in (False, True)
    ]
    assert rising[0].all()
    assert 30 < rising[1].sum() < 70


def test_facts_about_a_set():
    batches = ImageBatches(numbered(10))
    assert batches.epoch == 10
    assert batches.shape == (1, 1, 1)


def loader(size, *, drop_last=False, labelled=True):
    data = numbered(10)
    parts = (data.images, data.labels) if labelled else (data.images,)
    return DataLoader(TensorDataset(*parts), batch_size=size, drop_last=drop_last)


@pytest.mark.parametrize("size", [1, 3, 4, 10])
@pytest.mark.parametrize("wanted", [1, 4, 7, 25])
def test_a_step_gets_as_many_as_it_asks_for_and_none_is_lost(size, wanted):
    """Also past the last batch of a loader, which holds what is left."""
    assert walk(LoaderBatches(loader(size)), 4, wanted) == [i % 10 for i in range(4 * wanted)]


def test_a_loaders_labels_stay_with_their_images():
    batches = LoaderBatches(loader(3))
    for step in range(5):
        batch = batches(Draws(0, step, 4), CPU)
        assert batch.labels.tolist() == numbers(batch)
        assert batch.labels.dtype == torch.int64


def test_a_loader_whose_images_change_their_shape_is_refused():
    batches = LoaderBatches([torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 5)])
    batches(Draws(0, 0, 2), CPU)
    with pytest.raises(KakusanError, match=r"of one shape, not first \(1, 4, 4\) and then \(1, 4, 5\) \(resize"):
        batches(Draws(0, 1, 2), CPU)


def test_a_process_takes_its_share_of_a_loader():
    first, second = LoaderBatches(loader(4)), LoaderBatches(loader(4))
    for step in range(4):
        mine = first(Draws(0, step, 6, slice(0, 3)), CPU)
        yours = second(Draws(0, step, 6, slice(3, 6)), CPU)
        assert numbers(mine) + numbers(yours) == [(6 * step + i) % 10 for i in range(6)]


@pytest.mark.parametrize("workers", [0, 1])
def test_processes_shuffle_a_loader_alike(workers):
    """Whatever the state of each one's generator, which is left alone: all images once an epoch, none in two shares."""

    def shuffled():
        return LoaderBatches(DataLoader(numbered(12).images, batch_size=4, shuffle=True, num_workers=workers))

    def shares(batches, share):
        torch.manual_seed(share.start)
        before = torch.get_rng_state()
        seen = [numbers(batches(Draws(0, step, 6, share), CPU)) for step in range(4)]
        assert torch.equal(torch.get_rng_state(), before)
        return seen

    mine, yours = shares(shuffled(), slice(0, 3)), shares(shuffled(), slice(3, 6))
    whole = [a + b for a, b in zip(mine, yours, strict=True)]
    first, second = whole[0] + whole[1], whole[2] + whole[3]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.zeros(10, 1, 2, 2))


@pytest.mark.parametrize(
    ("source", "batch_size", "epoch", "labelled"),
    [
        (loader(4), 4, 10, True),
        (loader(4, labelled=False), 4, 10, False),
        (DataLoader(Stream(), batch_size=4), 4, None, False),
        ([torch.zeros(3, 1, 2, 2)] * 5, 3, 15, False),
        ([(torch.zeros(3, 1, 2, 2), torch.zeros(3))] * 5, 3, 15, True),
        ([[torch.zeros(3, 1, 2, 2), {"name": "not a label"}]], 3, 3, False),
    ],
)
def test_facts_about_a_loader(source, batch_size, epoch, labelled):
    batches = LoaderBatches(source)
    assert (batches.batch_size, batches.epoch, batches.labelled) == (batch_size, epoch, labelled)
    assert batches.shape[0] == 1
    assert (batches(Draws(0, 0, 2), CPU).labels is not None) == labelled


def test_bytes_are_brought_into_range_and_floats_are_taken_as_they_are():
    full = torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)
    assert LoaderBatches([full])(Draws(0, 0, 1), CPU).images.item() == 1
    half = LoaderBatches([torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)])(Draws(0, 0, 1), CPU).images
    assert half.item() == 0.5
    assert half.dtype == torch.float32


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ([], "not nothing at all"),
        ([torch.zeros(3, 2, 2)], r"not a tensor of shape \(3, 2, 2\)"),
        ([{"image": torch.zeros(1, 1, 2, 2)}], "not a dict"),
        ([()], "not a tuple"),
        ([torch.zeros(0, 1, 2, 2)], r"not a tensor of shape \(0, 1, 2, 2\)"),
        ((batch for batch in [torch.zeros(1, 1, 2, 2)]), "an iterator ends after one pass"),
    ],
)
def test_what_yields_no_images_is_refused(source, answer):
    with pytest.raises(KakusanError, match=answer):
        LoaderBatches(source)
