"""Prompt accuracy: real scenes are accepted, others are not, and pieces say what is missing."""

import pytest
import torch

from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.evaluation.prompts import CELLS, measure_prompts, measure_scenes, measure_shown
from kakusan.shapes import draw, scene
from tests import tiny


def test_real_scenes_are_accepted_of_every_kind():
    found = measure_shown(lambda pictures: pictures, 32, n=12)
    assert [it.metric for it in found] == [f"prompts-{kind}-{things}" for kind, things in CELLS]
    for it in found:
        assert it.value == 1
        assert it.interval[0] == pytest.approx(12 / (12 + 1.96**2))  # Wilson's, of twelve out of twelve
        assert it.protocol["parts"] == it.protocol["binding"] == 1
        assert ("direction" in it.protocol) == (it.protocol["things"] == 2)


def test_pieces_say_what_is_missing():
    mirrored = measure_shown(lambda pictures: pictures.flip(3), 32, n=24)
    single, double = mirrored[0], mirrored[2]
    assert single.value == 1  # no caption of a single thing says where it is
    assert double.protocol["axis"] == 1
    assert 0.2 < double.protocol["direction"] < 0.8  # above stays above
    assert double.value == pytest.approx(double.protocol["direction"], abs=1e-3)
    flat = measure_shown(lambda pictures: torch.full_like(pictures, 250), 32, n=6)
    assert [it.value for it in flat] == [0] * 5
    assert flat[0].protocol["parts"] == 0
    assert "binding" not in flat[0].protocol


def test_images_are_measured_with_the_captions_beside_them():
    pictures = torch.stack([draw(scene(0, index, things=1), 32) for index in range(4)])
    captions = []
    for index in range(4):
        (thing,) = scene(0, index, things=1).things
        captions.append(f"a {thing.colour} {thing.shape}")
    captions[0], captions[1] = "a purple ring above a purple ring", ""
    found = measure_scenes(ImageSet(pictures, captions=tuple(captions), name="scenes"))
    assert found.value == pytest.approx(2 / 3)
    assert found.protocol["n"] == 3
    assert found.remarks == ["1 image of scenes have no caption and were left out"]


def test_images_without_captions_are_refused():
    with pytest.raises(KakusanError, match="those of bare have none"):
        measure_scenes(ImageSet(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), name="bare"))


def test_a_model_that_reads_nothing_is_refused():
    with pytest.raises(KakusanError, match="this one reads none"):
        measure_prompts(tiny.model(), tiny.SAMPLING)
