"""Samples are judged against as many real images, beside real images judged likewise."""

import json
import os
import time
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from statistics import mean, stdev

import pytest
import torch

import kakusan
from kakusan import sampling
from kakusan.config.models import Sampling
from kakusan.data.images import ImageSet
from kakusan.denoiser import Denoiser
from kakusan.errors import KakusanError
from kakusan.evaluation import evaluate as evaluating
from kakusan.evaluation.evaluate import evaluate, reference
from kakusan.evaluation.moments import frechet_distance
from kakusan.parametrization import X0, V
from kakusan.pictures import from_uint8, save
from kakusan.schedules import cosine, linear
from kakusan.seeing.sources import Drawn, Stored, _noise_of
from tests import tiny
from tests.oracles import Recorder

DATA = tiny.pictures(200)


def real(n=None, splits=10, images=DATA):
    return reference(images, n=n, splits=splits, device="cpu", show=False)


def judged(model, against, **asked):
    return evaluate(model, against, settings=Sampling(**{"steps": 2, **asked}), seed=3, name="pets")


@pytest.mark.parametrize(("n", "expected"), [(None, 100), (100, 100), (30, 30), (2, 2)])
def test_real_images_are_split_into_halves_that_share_none(cache, n, expected):
    against = real(n)
    assert against.n == expected
    assert len(against.halves) == 10
    for half, other in against.halves:
        assert len(half) == len(other) == expected
        assert not set(half.tolist()) & set(other.tolist())
    assert len({tuple(sorted(half.tolist())) for half, _ in against.halves}) == 10


def test_a_single_image_is_too_few():
    few = ImageSet(DATA.images[:1], DATA.labels[:1], DATA.class_names, "pets")
    with pytest.raises(KakusanError, match=r"pets has 1 image: too few to be judged \(give at least 4\)"):
        real(images=few)


@pytest.mark.parametrize("n", [101, 1, 0, -5])
def test_more_than_half_or_less_than_two_are_refused(cache, n):
    with pytest.raises(KakusanError, match=rf"n must lie between 2 and 100, half of .* pets, .* not {n}$"):
        real(n)


def test_data_without_labels_are_refused(cache):
    with pytest.raises(KakusanError, match="has no classes to tell apart"):
        real(images=tiny.pictures(200, labelled=False))


@pytest.mark.parametrize("n", [None, 50, 30, 7])
def test_both_sides_hold_as_many_of_each_class_and_a_class_its_share(cache, n):
    against, share = real(n), torch.bincount(DATA.labels) / len(DATA)
    for half, other in against.halves:
        left, right = (torch.bincount(DATA.labels[side], minlength=3) for side in (half, other))
        assert (left - right).abs().max() <= 1
        assert (left - share * against.n).abs().max() <= 1


def test_the_splits_are_always_the_same(cache):
    for (half, other), (half_again, other_again) in zip(real().halves, real().halves, strict=True):
        assert torch.equal(half, half_again)
        assert torch.equal(other, other_again)


def test_the_floor_is_what_real_images_score(cache):
    """Those of the other halves, given as samples; and others than the compared, or it would be nothing."""
    against = real(splits=3)
    images = DATA.images
    for index, (half, other) in enumerate(against.halves):
        distance = against.distances(against.judge.features(images[other]))[index]
        assert distance == pytest.approx(against.noise_floor[index], rel=1e-6)
        assert distance == pytest.approx(frechet_distance(against.features[other], against.features[half]))
    assert min(against.noise_floor) > 0
    elsewhere = [
        distance
        for half, other in against.halves
        for distance in against.distances(against.judge.features(images[other]))
    ]
    assert mean(elsewhere) < 2 * mean(against.noise_floor)
    noise = torch.randint(256, (100, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert mean(against.distances(against.judge.features(noise))) > 5 * mean(against.noise_floor)


def perfect():
    """A model that has learned its classes by heart: it draws one of their real images."""
    images = from_uint8(DATA.images)
    first = torch.stack([images[DATA.labels == label][0] for label in range(3)])
    network = Recorder(lambda x, clock, condition: first[condition.labels])
    return replace(tiny.model(), denoiser=Denoiser(network, cosine(20), X0()), source="by heart", weights_hash="abc")


def test_a_model_that_draws_what_it_is_asked_for_is_recognised(cache):
    against = real()
    result = judged(perfect(), against)
    assert result.class_accuracy == pytest.approx(1)
    assert result.classifier_accuracy == against.judge.accuracy
    assert result.frechet_distance > result.noise_floor  # always the same three images


def test_what_was_interrupted_goes_on_and_is_the_same(cache, monkeypatch):
    """Samples are seen chunk by chunk, and those that were seen are not drawn again."""
    against, drawn = real(n=40), []
    whole = judged(perfect(), against, batch=16)

    def draw(plan, images, progress=None, real=sampling.draw):
        drawn.append(len(images))
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return real(plan, images, progress)

    monkeypatch.setattr(sampling, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        judged(perfect(), against, batch=16)
    again = judged(perfect(), against, batch=16)
    assert drawn == [16, 16, 8, 8]
    assert {**again.as_dict(), "seconds": 0} == {**whole.as_dict(), "seconds": 0}
    assert again.seconds > 0
    assert list(cache.glob("*/measuring/*")) == []


def test_two_may_judge_the_same_samples_at_a_time(cache, monkeypatch):
    against, claims = real(n=40), []

    def draw(plan, images, progress=None, real=sampling.draw):
        if not claims:
            claims.append(None)
            claims[0] = judged(perfect(), against)
        return real(plan, images, progress)

    monkeypatch.setattr(sampling, "draw", draw)
    outer = judged(perfect(), against)
    assert {**outer.as_dict(), "seconds": 0} == {**claims[0].as_dict(), "seconds": 0}


def test_who_is_interrupted_after_the_last_sample_draws_none_again(cache, monkeypatch):
    against, drawn = real(n=40), []
    with monkeypatch.context() as patch:
        patch.setattr(evaluating, "nearest", None)
        with pytest.raises(TypeError):
            judged(perfect(), against)
    monkeypatch.setattr(sampling, "draw", drawn.append)
    assert judged(perfect(), against).seconds > 0
    assert not drawn


def test_what_was_left_behind_long_ago_is_swept(cache, monkeypatch):
    against = real(n=40)
    with monkeypatch.context() as patch:
        patch.setattr(evaluating, "nearest", None)
        with pytest.raises(TypeError):
            judged(perfect(), against)
    (left,) = cache.glob("*/measuring/*")
    long_ago = time.time() - 31 * 86_400
    os.utime(left, (long_ago, long_ago))
    judged(tiny.model(), against)
    assert not left.exists()


def test_copies_are_looked_for_among_what_was_learned_mirrored_or_not(cache):
    """A model that draws mirror images of some that it saw so, and one of some that it did not see."""
    images = from_uint8(DATA.images)
    which = torch.stack([(DATA.labels == label).nonzero()[0, 0] for label in range(3)])

    def drawing(pictures):
        network = Recorder(lambda x, clock, condition: pictures[condition.labels])
        return replace(perfect(), denoiser=Denoiser(network, cosine(20), X0()))

    mirror = drawing(images[which].flip(-1))
    assert judged(mirror, real(images=Stored(DATA))).copies < 0.5
    assert judged(mirror, real(images=Stored(DATA, mirrored=True))).copies == 1
    held_out = Stored(DATA, held_out=torch.arange(50))
    result = judged(drawing(images[which]), real(images=held_out))
    assert result.copies < 0.5
    assert result.real_copies < 0.2


def test_samples_learned_by_heart_are_copies_and_real_images_are_none(cache):
    result = judged(perfect(), real())
    assert result.copies == 1
    assert result.real_copies < 0.1


def test_every_number_has_its_mean_and_spread(cache):
    against = real(n=40, splits=4)
    result = judged(perfect(), against)
    assert result.noise_floor == pytest.approx(mean(against.noise_floor))
    assert result.noise_floor_spread == pytest.approx(stdev(against.noise_floor))
    assert result.frechet_distance_spread > 0
    assert result.seconds > 0
    alone = judged(perfect(), real(n=40, splits=1))
    assert alone.noise_floor_spread == alone.frechet_distance_spread == 0


def test_the_protocol_says_all_there_is_to_repeat_it(cache):
    against = real(n=40, splits=4)
    result = judged(perfect(), against, sampler="heun", steps=3, guidance=1.0)
    assert {**result.protocol, "features": None} == {
        "n": 40,
        "reference": "pets",
        "reference_hash": against.digest,
        "splits": 4,
        "score_splits": 1,
        "features": None,
        "layer": "features",
        "classifier": against.judge.name,
        "library": "kakusan",
        "seen_on": "cpu",
        "held_out": None,
        "mirrored": False,
        "rounding": "to bytes",
        "resize": "not at all",
        "sampler": "heun",
        "steps": 3,
        "grid": "karras",
        "nfe": 5,
        "eta": 0.0,
        "variance": "posterior",
        "guidance": 1.0,
        "threshold": "clip",
        "seed": 3,
        "batch": 64,
        "device": "cpu",
        "kakusan": version("kakusan"),
        "torch": torch.__version__,
        "weights": "by heart",
        "schedule": _noise_of(perfect().denoiser.schedule),
        "parametrization": repr(perfect().denoiser.parametrization),
        "weights_from": "",
        "images_seen": 0,
        "weights_hash": "abc",
        "labels": sha256(repr(against.labels.tolist()).encode()).hexdigest()[:8],
    }
    assert result.protocol["features"] == against.judge.name
    assert json.loads(json.dumps(result.as_dict()))["protocol"]["n"] == 40


@pytest.mark.parametrize("show", [True, False])
@pytest.mark.parametrize(("n", "few"), [(256, True), (257, False)])
def test_too_few_images_for_the_features_are_remarked_on(cache, capsys, show, n, few):
    """n images span at most n − 1 dimensions, and the covariance of fewer than all is singular."""
    data = tiny.pictures(520)
    result = kakusan.evaluate(tiny.model(), against=data, n=n, show=show)
    assert bool(result.remarks) == few
    said = [line for line in capsys.readouterr().err.splitlines() if "too few for 256 features" in line]
    assert said == (result.remarks if show else [])


def test_a_model_without_classes_has_no_class_accuracy(cache):
    assert judged(tiny.model(classes=()), real(n=20)).class_accuracy is None


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        (tiny.model(shape=(1, 8, 8)), r"draws images of shape \(1, 8, 8\), pets holds \(1, 4, 4\)"),
        (tiny.model(classes=("cat", "dog")), "pets has the classes .*, and the model learned cat, dog"),
    ],
)
def test_what_is_unlike_is_not_compared(cache, model, answer):
    with pytest.raises(KakusanError, match=answer):
        judged(model, real(n=20))


@pytest.fixture
def folder(tmp_path):
    """The pictures as files, a folder a class."""
    for index, (image, label) in enumerate(zip(DATA.images, DATA.labels.tolist(), strict=True)):
        save(tmp_path / "pets" / tiny.CLASSES[label] / f"{index}.png", image)
    return tmp_path / "pets"


def train(data, path, **overrides):
    given = {"network.channels": "8", "network.attention_resolutions": "[]", "network.class_conditional": True}
    given |= {"training.samples_every": 0, "sampling.steps": 2, **overrides}
    return kakusan.train(data=data, run=path, steps=2, batch_size=4, overrides=given, show=False)


def test_a_run_is_judged_as_it_was_configured(cache, folder, tmp_path):
    run = train(folder, tmp_path / "run", **{"evaluation.n": 30, "evaluation.splits": 3, "evaluation.steps": 5})
    result = kakusan.evaluate(run, show=False)
    protocol = result.protocol
    assert (protocol["n"], protocol["splits"], protocol["steps"], protocol["reference"]) == (30, 3, 5, "pets")
    assert protocol["weights"] == "run, ema weights after 8 images"
    assert 0 <= result.class_accuracy <= 1
    repeated = kakusan.evaluate(run, show=False).as_dict()
    assert {**result.as_dict(), "seconds": 0} == {**repeated, "seconds": 0}


def test_other_images_in_the_place_of_those_it_learned_from_are_refused(cache, folder, tmp_path):
    """Which of them it held out would be others, and those looked for among copies too."""
    run = train(folder, tmp_path / "run")
    save(folder / tiny.CLASSES[0] / "more.png", from_uint8(DATA.images[0]))
    for ask in (kakusan.evaluate, lambda it, **how: kakusan.measure(it, "copies-pixels", **how)):
        with pytest.raises(KakusanError, match=r"learned from 200 images, and there are 201 .*: --against SOURCE\)"):
            ask(run, show=False)
    assert kakusan.evaluate(run, against=folder, n=20, show=False).protocol["reference"] == "pets"


def test_the_same_weights_under_another_process_have_another_stamp():
    def told(schedule, parametrization):
        model = tiny.model()
        denoiser = Denoiser(model.network, schedule, parametrization)
        model = replace(model, denoiser=denoiser)
        return Drawn(model, sampling.plan(model, n=2, settings=model.sampling)).provenance

    stamps = [told(*it) for it in ((cosine(20), X0()), (linear(20), X0()), (cosine(20), V()), (cosine(21), X0()))]
    assert all(one != other for i, one in enumerate(stamps) for other in stamps[:i])
    assert told(cosine(20), X0()) == stamps[0]


def test_what_is_asked_for_goes_before_what_was_configured(cache, folder, tmp_path):
    run = train(folder, tmp_path / "run", **{"evaluation.n": 30, "evaluation.steps": 5})
    asked = {"n": 20, "steps": 3, "sampler": "ddpm", "guidance_scale": 2.0, "seed": 9, "weights_from": "raw"}
    protocol = kakusan.evaluate(run, show=False, **asked).protocol
    assert {name: protocol[name] for name in ("n", "steps", "sampler", "guidance", "seed")} == {
        "n": 20,
        "steps": 3,
        "sampler": "ddpm",
        "guidance": 2.0,
        "seed": 9,
    }
    assert protocol["weights"] == "run, raw weights after 8 images"


def test_a_model_is_judged_against_what_is_given(cache):
    result = kakusan.evaluate(tiny.model(), against=DATA, n=20, show=False)
    assert result.protocol["reference"] == "pets"
    assert result.protocol["steps"] == 2  # as the model's own sampling says
    with pytest.raises(KakusanError, match="a model alone does not know its data"):
        kakusan.evaluate(tiny.model())
