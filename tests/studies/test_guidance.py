"""Guidance is measured on what is drawn, and what is shown is what was measured."""

import pytest
import torch

from kakusan import api
from kakusan.pictures import to_uint8
from kakusan.studies import guidance
from tests import tiny


class Brightness:
    """Takes a picture's class from its middle pixel."""

    accuracy = 0.75

    def __init__(self):
        self.seen = []

    def recognised(self, images, labels):
        self.seen.append(images)
        return (images[:, 0, 2, 2] > 0).eq(labels == 2).double().mean().item()


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return tiny.model()


REAL = torch.tensor([0, 100, 200, 250], dtype=torch.uint8)


def test_every_scale_is_a_row_about_the_samples_that_were_judged(model):
    judge = Brightness()
    sweep = guidance.measure(model, judge, REAL, show=False)
    assert [found.guidance for found in sweep.scales] == [0, 1, 2, 5, 7.5, 10, 15]
    labels = torch.arange(100) % 3
    for found, images in zip(sweep.scales, judge.seen, strict=True):
        assert images.shape == (100, 1, 4, 4)
        assert found.saturated == guidance.saturated(images)
        assert found.class_accuracy == Brightness().recognised(images, labels)
    assert (sweep.sampler, sweep.steps, sweep.threshold, sweep.images) == ("ddim", 20, "none", 100)
    assert (sweep.real_accuracy, sweep.real_saturated) == (0.75, 0.25)


def test_the_pictures_shown_are_the_first_of_those_measured(model):
    judge = Brightness()
    shown = guidance.draw(model, guidance.measure(model, judge, REAL, show=False))
    assert shown.shape == (7, 3, 1, 4, 4)
    measured = torch.stack([images[:3] for images in judge.seen])
    assert (to_uint8(shown).int() - measured.int()).abs().max() <= 1


def test_at_one_they_are_plain_conditional_samples(model):
    shown = guidance.draw(model, guidance.measure(model, Brightness(), REAL, show=False))
    plain = api.sample(model, n=3, labels=[0, 1, 2], sampler="ddim", steps=20, threshold="none")
    torch.testing.assert_close(shown[1], plain)


def test_saturated_are_the_values_at_either_end():
    images = torch.tensor([0, 0, 1, 128, 254, 255, 255, 255], dtype=torch.uint8)
    assert guidance.saturated(images) == 5 / 8
