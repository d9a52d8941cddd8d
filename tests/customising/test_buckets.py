"""Images that keep their aspect, count as often as their folders say, and are shown on a sheet; and what is said of
those that are alike."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from kakusan import customising
from kakusan.customising.batches import CustomBatches
from kakusan.customising.buckets import BucketBatches, bucket_of
from kakusan.customising.likeness import alike
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.networks.autoencoder import Posterior
from kakusan.seeds import Draws
from kakusan.training import start
from tests import tiny
from tests.customising.scenes import diamonds, settings

CPU = torch.device("cpu")
HOW_MANY = (1, 4, 2)  # images of every size


@pytest.mark.parametrize("step", [32, 64, 128])
def test_a_bucket_has_no_more_pixels_than_the_square_and_nearly_the_aspect(step):
    assert bucket_of(300, 300, 512, step) == (512, 512)
    for width, height in ((300, 400), (640, 480), (1000, 600), (480, 853)):
        high, wide = bucket_of(width, height, 512, step)
        assert high % step == wide % step == 0
        assert (512 - step) ** 2 <= high * wide <= 512**2
        assert abs(math.log(wide / high) - math.log(width / height)) <= math.log(1 + step / 256)
        assert bucket_of(height, width, 512, step) == (wide, high)
    assert max(bucket_of(5000, 10, 512, step)) <= 1024


@pytest.fixture
def batches():
    total = sum(HOW_MANY)
    members = torch.arange(total)[torch.randperm(total, generator=torch.Generator().manual_seed(1))].split(HOW_MANY)
    images = ImageSet(torch.zeros(total, 3, 8, 8, dtype=torch.uint8))
    pairs = torch.arange(total)[:, None].expand(-1, 2)
    parts = []
    for side, those in enumerate(members, 2):
        latents = those.float()[:, None].expand(-1, 2 * side)
        some, own = ImageSet(images.images[those]), torch.stack([torch.arange(len(those)), those], 1)
        parts.append(CustomBatches(some, own, [Posterior(latents, torch.full_like(latents, -60))], (1, 2, side)))
    return BucketBatches(images, pairs, members, parts)


def test_a_batch_holds_images_of_one_size_and_every_image_is_seen_as_often(batches):
    total, seen = sum(HOW_MANY), []
    for step in range(2 * total):
        draws = Draws(0, step, 3)
        batch = batches(draws, CPU)
        assert torch.equal(batch.labels, batches.indices(draws))
        torch.testing.assert_close(batch.images.mean((1, 2, 3)), batch.labels.float())
        size = {torch.isin(batch.labels, those).all().item(): those for those in batches._members}[True]
        assert batch.images.shape[3] == 2 + HOW_MANY.index(len(size))
        seen += batch.labels.tolist()
    assert np.bincount(seen).tolist() == [6] * total


def test_a_share_is_the_part_of_the_whole(batches):
    whole = batches(Draws(0, 4, 8), CPU)
    parts = [batches(Draws(0, 4, 8, slice(first, first + 2)), CPU).images for first in range(0, 8, 2)]
    assert torch.equal(torch.cat(parts), whole.images)


def test_images_are_alike_whatever_their_brightness_and_no_others():
    draw = torch.Generator().manual_seed(0)
    one, other = (torch.rand(3, 8, 8, generator=draw).repeat_interleave(4, 1).repeat_interleave(4, 2) for _ in range(2))
    noisy = (0.7 * one + 0.2 + 0.02 * torch.randn(one.shape, generator=draw)).clamp(0, 1)
    flat = torch.full_like(one, 0.5)
    images = (torch.stack([one, other, flat, noisy, one.flip(2)]) * 255).to(torch.uint8)
    assert alike(images) == [[0, 3]]
    assert alike(images[:1]) == []


def prepared(source, **changes):
    pytest.importorskip("peft")
    return customising.prepared(settings("lora", source, **changes), CPU, None, show=False)


def wide(source):
    """Adds an image twice as wide as it is high, white with a black half."""
    pixels = np.full((40, 80, 3), 255, dtype=np.uint8)
    pixels[:, 40:] = 0
    Image.fromarray(pixels).save(source / "wide.png")
    return source


def test_a_wide_image_is_learned_as_wide_as_it_is(tmp_path):
    made = prepared(wide(diamonds(tmp_path / "images")), objective__buckets=8)
    assert isinstance(made.feed.batches, BucketBatches)
    assert "sizes: 3 of 32×32, 1 of 40×24" in made.feed.remarks
    shapes = {made.feed.batches(Draws(0, step, 2), CPU).images.shape for step in range(4)}
    factor = made.learned.base.pipe.vae_scale_factor
    assert {it[2:] for it in shapes} == {(32 // factor, 32 // factor), (24 // factor, 40 // factor)}
    assert made.sheet.shape == (3, 132, 132)


def test_a_run_in_buckets_goes_on_where_it_stopped(tmp_path):
    source = wide(diamonds(tmp_path / "images"))
    steady = {"objective__buckets": 8, "optimizer__decay": "none", "data__flip": True}
    whole, there = (
        start.begin(settings("lora", source, **steady, training__steps=steps), tmp_path / f"{steps}", show=False)
        for steps in (4, 1)
    )
    start.resume(there, {"training.steps": 4}, show=False)
    tiny.assert_same(whole, there)
    assert (there.path / "images.png").exists()


def test_images_count_as_often_as_their_folders_say(tmp_path):
    source = tmp_path / "images"
    diamonds(source / "3_near", 1)
    diamonds(source / "far", 2)
    made = prepared(source, objective__folder_repeats=True)
    assert made.feed.batches.epoch == 5
    assert len(made.feed.batches.images) == 3  # and none is held twice for that
    assert "images count: 3_near 3×, far 1×" in made.feed.remarks
    assert prepared(source).feed.batches.epoch == 3


def test_few_small_and_like_images_are_remarked_on(tmp_path):
    source = diamonds(tmp_path / "images", 1)
    image = Image.open(source / "0.png")
    image.save(source / "1.jpg", quality=90)
    said = "\n".join(prepared(source, data__size=64).feed.remarks)
    assert "2 images: what they share by chance is learned as well" in said
    assert "2 images below 64 pixels, enlarged: 0.png, 1.jpg" in said
    assert "nearly the same picture more than once, which counts as often: 0.png = 1.jpg" in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"objective__buckets": 12}, "objective.buckets must be a multiple of 8 pixels, not 12"),
        ({"objective__buckets": 24}, "objective.buckets must divide the side of the square, 32 pixels, and 24 does"),
        ({"objective__buckets": 8, "objective__class_prompts": ("a star",)}, "are square: leave one of them out"),
        ({"objective__buckets": 8, "data__held_out": 1}, "which objective.buckets cannot: leave one of them out"),
        ({"objective__folder_repeats": True, "data__held_out": 1}, "which objective.folder_repeats cannot"),
        ({"objective__folder_repeats": True}, "needs sub-folders of .* called N_NAME, such as 3_portrait"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, changes, sentence):
    with pytest.raises(KakusanError, match=sentence):
        prepared(diamonds(tmp_path / "images"), **changes)


def test_an_image_set_of_python_has_one_size_already():
    images = ImageSet(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), captions=("a black square",) * 2)
    told = settings("lora", "unused", objective__instance_prompts=(), objective__buckets=8)
    pytest.importorskip("peft")
    with pytest.raises(KakusanError, match="cuts the images of a folder"):
        customising.prepared(told, CPU, images, show=False)
