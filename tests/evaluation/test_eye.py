"""Who sees images when samples are judged, and how far two pictures of one thing look apart."""

from typing import ClassVar

import pytest
import torch

from kakusan.evaluation import evaluate as evaluating
from kakusan.evaluation import eye as eyes
from kakusan.evaluation import formulas
from kakusan.evaluation import judge as judging
from kakusan.evaluation import likeness as likenesses
from kakusan.evaluation.evaluate import evaluate, reference
from kakusan.evaluation.judge import judge
from kakusan.evaluation.likeness import Likeness
from tests import tiny
from tests.evaluation.test_evaluate import DATA, judged


@pytest.fixture
def untaught(cache, monkeypatch):
    """A judge that has learned nothing."""
    monkeypatch.setattr(judging, "_train", lambda network, images, recipe, show: network)
    return judge(DATA, "cpu", show=False)


class _Mean:
    """Sees how bright an image is, above and below."""

    name, resize, device, library = "brightness 1", "not at all", torch.device("cpu"), "none"
    layers: ClassVar = {"2048": 2, "logits_unbiased": 2}

    def __init__(self, *given, **how):
        pass

    def __call__(self, images, labels=None):
        rows = images.float().mean((1, 3))[:, :2]
        return {"2048": rows, "logits_unbiased": rows / 100}


def test_features_are_those_of_the_eye_and_classes_those_of_the_judge(untaught):
    eye = eyes.Eye(_Mean(), "2048", "logits_unbiased")
    against = reference(DATA, n=50, splits=2, device="cpu", show=False, eye=eye)
    assert against.features.shape == (200, 2)
    assert torch.equal(against.guesses, untaught(DATA.images)["logits"].argmax(1))
    result = judged(tiny.model(), against)
    assert result.protocol["features"] == "brightness 1"
    own = judged(tiny.model(), reference(DATA, n=50, splits=2, device="cpu", show=False))
    assert result.class_accuracy == own.class_accuracy
    assert result.frechet_distance != own.frechet_distance
    assert result.remarks == []  # fifty images span two features


def test_inception_is_taken_where_it_is_and_nowhere_else(monkeypatch, tmp_path):
    monkeypatch.setattr(eyes, "Pretrained", _Mean)
    monkeypatch.setattr(eyes, "find", lambda name, directory: None)
    assert eyes.inception_at_hand("cpu") is None
    monkeypatch.setattr(eyes, "find", lambda name, directory: tmp_path / name)
    assert eyes.inception_at_hand("cpu").name == "brightness 1"
    monkeypatch.setattr(eyes, "find_spec", lambda name: None)
    assert eyes.inception_at_hand("cpu") is None


def test_the_same_picture_is_no_distance_away_and_an_unrelated_one_about_one(untaught, monkeypatch):
    monkeypatch.setattr(likenesses, "find", lambda name, directory: None)
    likeness = Likeness(untaught, "cpu")
    images = DATA.images[:60]
    assert likeness.name == untaught.name
    assert likeness(images, images).value == 0
    shuffled = likeness(images, images[torch.randperm(60, generator=torch.Generator().manual_seed(0))])
    assert shuffled.value == pytest.approx(1, abs=0.3)
    assert shuffled.interval[0] < shuffled.value < shuffled.interval[1]
    nearer = images.clone()
    nearer[:, :, 0, 0] = 0
    assert 0 < likeness(images, nearer).value < shuffled.value


def test_lpips_is_taken_where_it_is(untaught, monkeypatch, tmp_path):
    class Lpips:
        name = "lpips-alex 1234"

        def __init__(self, *given, **how):
            assert how["offline"]

        def __call__(self, a, b):
            return (a.float() - b.float()).abs().mean((1, 2, 3))

    monkeypatch.setattr(likenesses, "find", lambda name, directory: tmp_path / name)
    monkeypatch.setattr(likenesses, "Lpips", Lpips)
    likeness = Likeness(untaught, "cpu")
    assert likeness.name == "lpips-alex 1234"
    assert likeness(torch.zeros(4, 1, 4, 4), torch.ones(4, 1, 4, 4)).value == 1


def test_the_interval_of_a_distance_is_of_other_samples(untaught):
    """It holds the distance of most other draws, and is wider of fewer."""
    against = reference(DATA, n=100, splits=2, device="cpu", show=False)
    model = tiny.model()
    few = reference(DATA, n=20, splits=2, device="cpu", show=False)
    one, other = (judged(model, it) for it in (against, few))
    low, high = one.frechet_distance_interval
    assert low < one.frechet_distance < high
    assert other.frechet_distance_interval[1] - other.frechet_distance_interval[0] > high - low
    again = evaluate(model, against, settings=model.sampling, seed=99, name="pets")
    assert low - (high - low) < again.frechet_distance < high + (high - low)
    assert judged(model, reference(DATA, n=10, splits=2, device="cpu", show=False)).frechet_distance_interval is None


def test_of_many_samples_a_distance_has_its_limit(untaught, monkeypatch):
    """It is that of the first split, moved as the mean over all splits is."""
    told = formulas.Estimate(5.0, (4.0, 6.0), 4.5)
    monkeypatch.setattr(evaluating, "frechet", lambda features, real: {"fid": told})
    found = judged(tiny.model(), reference(DATA, n=20, splits=2, device="cpu", show=False))
    assert found.frechet_distance_infinity == pytest.approx(found.frechet_distance - 0.5)
