"""The judge is trained once for a data set, and on nothing that it is asked about."""

import os
import signal
from dataclasses import replace

import pytest
import torch

from kakusan import files
from kakusan.errors import KakusanError
from kakusan.evaluation import judge as judging
from kakusan.evaluation.judge import judge
from kakusan.networks.classifier import Classifier
from kakusan.training.tasks.classification import Classification
from tests import tiny

DATA = tiny.pictures(60)


def judged(images=DATA):
    return judge(images, device="cpu", show=False)


def test_it_tells_the_classes_apart(cache):
    found = judged()
    assert found.accuracy >= 0.9
    assert found.recognised(DATA.images, DATA.labels) >= 0.9
    assert found.recognised(DATA.images, (DATA.labels + 1) % 3) <= 0.1
    assert found.features(DATA.images).shape == (60, found.network.head.in_features)
    assert not found.network.training


def test_it_is_trained_once_and_is_then_the_same(cache, trainings):
    first, second = judged(), judged()
    assert len(trainings) == 1
    assert (first.accuracy, first.name) == (second.accuracy, second.name)
    images = DATA.images
    assert torch.equal(first.features(images), second.features(images))
    assert [path.suffix for path in cache.rglob("*") if path.is_file()] == [".safetensors"]


def test_it_is_the_same_judge_whatever_ran_before(cache, trainings):
    first = judged()
    for path in cache.rglob("*.safetensors"):
        path.unlink()
    torch.rand(3)
    assert judged().name == first.name
    assert len(trainings) == 2


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_damaged_one_is_trained_anew(cache, trainings, size):
    first = judged()
    (path,) = cache.rglob("*.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:size])
    assert judged().name == first.name
    assert len(trainings) == 2
    assert path.read_bytes() == content


def test_other_data_have_another_judge(cache, trainings):
    judged()
    judged(replace(DATA, images=DATA.images.flip(3)))
    judged(replace(DATA, labels=(DATA.labels + 1) % 3))
    judged(replace(DATA, name="the same under another name"))
    assert len(trainings) == 3


def test_another_recipe_has_another_judge_and_another_device_the_same():
    """Also where what changed is a default that the recipe does not name."""

    def fingerprint(section=None, width=32, device="cpu", **changes):
        recipe = judging._recipe(48, device)
        if section is not None:
            recipe = replace(recipe, **{section: getattr(recipe, section).model_copy(update=changes)})
        return judging._fingerprint(DATA, Classifier(1, 4, 3, width=width), recipe)

    changed = [
        fingerprint("optimizer", eps=1e-6),
        fingerprint("ema", ramp_up=0.1),
        fingerprint("training", dtype="bfloat16"),
        fingerprint(width=16),
    ]
    assert len({fingerprint(), *changed}) == 5
    assert fingerprint(device="auto") == fingerprint()


def test_without_a_cache_to_write_to_it_judges_all_the_same(cache, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(files, "_flush", refuse)
    assert judged().accuracy >= 0.9
    assert not list(cache.rglob("*.safetensors"))


def test_one_that_was_interrupted_judges_nothing_and_is_not_kept(cache, monkeypatch):
    def losses(self, batch, draws, real=Classification.losses):
        if draws.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, batch, draws)

    monkeypatch.setattr(Classification, "losses", losses)
    with pytest.raises(KeyboardInterrupt):
        judged()
    assert not list(cache.rglob("*.safetensors"))


def test_a_fifth_is_held_out():
    learnt, held_out = judging._split(60)
    assert (len(learnt), len(held_out)) == (48, 12)
    assert torch.cat([learnt, held_out]).sort().values.tolist() == list(range(60))


def test_nothing_held_out_is_learnt(cache, trainings):
    judged()
    ((_, learnt, *_),) = trainings
    assert not set(learnt.among.tolist()) & set(judging._split(len(DATA))[1].tolist())


@pytest.mark.parametrize(
    ("images", "answer"),
    [
        (tiny.pictures(60, labelled=False), "pets has no classes to tell apart"),
        (tiny.pictures(29), "pets has 29 images in 3 classes: too few to train a judge on"),
        (replace(DATA, labels=DATA.labels * 0, class_names=("one",)), "no classes to tell apart"),
    ],
)
def test_what_cannot_teach_a_judge_is_refused(cache, images, answer):
    with pytest.raises(KakusanError, match=answer):
        judged(images)
