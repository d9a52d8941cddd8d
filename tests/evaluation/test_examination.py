"""Samples measured while training: at their moments, without touching what is learned, and lost to nobody."""

import signal
import threading
from types import SimpleNamespace

import pytest
import torch

import kakusan
from kakusan import config as configs
from kakusan import sampling
from kakusan.config import models as config
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.evaluation import features
from kakusan.evaluation import judge as judging
from kakusan.evaluation import measure as measuring
from kakusan.seeing import seen as seeing
from kakusan.training import start
from kakusan.training.examination import Examination, UnfinishedError, until
from tests import tiny
from tests.evaluation.test_measure import Pixels


@pytest.fixture(autouse=True)
def _untaught(cache, monkeypatch):
    """A judge that has learned nothing measures as well, and costs nothing."""
    monkeypatch.setattr(judging, "_train", lambda network, images, recipe, show: network)


def settings(**evaluation):
    return {
        "network": {"kind": "simple_unet", "base_channels": 8, "time_emb_dim": 8},
        "training": {"steps": 8, "batch_size": 5, "samples_every": 0, "checkpoint_every": 20, "log_every": 1},
        "evaluation": {"every": 20, "every_n": 30, "steps": 2, "splits": 2, **evaluation},
    }


def train(path, more=None, **evaluation):
    given = {"overrides": {**settings(**evaluation), **(more or {})}, "device": "cpu", "show": False}
    return kakusan.train(data=tiny.pictures(200, (1, 8, 8)), run=path, **given)


def measured(run):
    return [(line["images"], line["evaluation"]) for line in run.metrics() if "evaluation" in line]


def test_samples_are_measured_at_their_moments_and_at_the_end(tmp_path):
    run = train(tmp_path / "run")
    assert [images for images, _ in measured(run)] == [20, 40]
    _, last = measured(run)[-1]
    assert last["protocol"]["n"] == 30
    assert last["protocol"]["steps"] == 2
    assert last["protocol"]["images_seen"] == 40
    assert last["protocol"]["weights_hash"] == kakusan.load(run).weights_hash
    assert last["frechet_distance"] > 0


def test_a_measurement_is_that_of_the_checkpoint_of_its_moment(tmp_path):
    run = train(tmp_path / "run")
    _, told = measured(run)[-1]
    data = tiny.pictures(200, (1, 8, 8))
    again = kakusan.evaluate(kakusan.load(run), against=data, n=30, steps=2, show=False)
    # A model alone knows no run: the splits are the ten that are usual.
    assert again.class_accuracy == told["class_accuracy"]
    assert again.inception_score == pytest.approx(told["inception_score"])


def test_to_be_measured_changes_nothing_of_what_is_learned(tmp_path):
    with_it, without = train(tmp_path / "a"), train(tmp_path / "b", every=0)
    assert measured(without) == []
    (weights, _), (others, _) = tiny.everything(with_it), tiny.everything(without)
    assert all(torch.equal(weights[name], others[name]) for name in others)


def test_who_was_killed_before_a_measurement_makes_it_after(tmp_path):
    whole, cut = train(tmp_path / "a"), train(tmp_path / "b")
    kept = [line for line in cut.metrics() if "evaluation" not in line or line["images"] == 20]
    cut.metrics_path.write_text("")
    for line in kept:
        cut.record(line)
    kakusan.train(resume=cut.path, data=tiny.pictures(200, (1, 8, 8)), steps=8, show=False)
    (_, ours), (_, theirs) = measured(cut)[-1], measured(whole)[-1]
    assert [images for images, _ in measured(cut)] == [20, 40]
    assert ours["frechet_distance"] == theirs["frechet_distance"]


def test_published_metrics_are_asked_for_before_training(tmp_path, monkeypatch):
    with pytest.raises(KakusanError, match="unknown metric 'fdi': did you mean 'fid'"):
        train(tmp_path / "run", metrics=["fdi"])
    assert not (tmp_path / "run").exists()


@pytest.fixture
def pixels(monkeypatch, tmp_path):
    """A network that is none, in Inception's place."""
    made = Pixels()
    monkeypatch.setattr(measuring, "extractor", lambda *given, **how: made)
    monkeypatch.setattr(features, "extractor", lambda *given, **how: made)
    monkeypatch.setattr(seeing, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return made


def test_published_metrics_are_measured_while_training(tmp_path, pixels):
    run = train(tmp_path / "run", metrics=["fid", "is"])
    told = [line for line in run.metrics() if "measurements" in line]
    assert [line["images"] for line in told] == [20, 40]
    assert [it["metric"] for it in told[0]["measurements"]] == ["fid", "is"]
    assert told[0]["measurements"][0]["protocol"]["n"] == 30
    assert pixels.seen == 200 + 2 * 30  # real images once, before training


def test_who_stops_a_measurement_has_lost_nothing_of_the_training(tmp_path, pixels, monkeypatch):
    """Ctrl-C while samples are drawn: the step is saved, and the measurement made when the run goes on."""
    settings = {"metrics": ["fid"]}
    draw, calls = sampling.draw, []

    def interrupted(plan, images, progress=None):
        calls.append(len(images))
        if len(calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return draw(plan, images, progress)

    with monkeypatch.context() as patch:
        patch.setattr("kakusan.seeing.sources.sampling.draw", interrupted)
        run = train(tmp_path / "run", **settings)
    assert [line["images"] for line in run.metrics() if "measurements" in line] == []
    kakusan.train(resume=run, data=tiny.pictures(200, (1, 8, 8)), show=False)
    assert [line["images"] for line in run.metrics() if "measurements" in line] == [20, 40]


def test_images_that_cannot_be_judged_are_refused_before_training(tmp_path):
    plain = ImageSet(tiny.pictures(200, (1, 8, 8)).images, name="plain")
    with pytest.raises(KakusanError, match="plain has no classes to tell apart"):
        kakusan.train(data=plain, run=tmp_path / "run", overrides=settings(), show=False)
    assert not (tmp_path / "run").exists()


def test_a_loader_is_nothing_to_compare_with(tmp_path):
    loader = [(torch.zeros(5, 1, 8, 8), torch.zeros(5, dtype=torch.long))]
    with pytest.raises(KakusanError, match=r"evaluation\.every needs images to compare samples with"):
        kakusan.train(data=loader, run=tmp_path / "run", overrides=settings(), show=False)


def test_who_wishes_for_an_end_does_not_wait():
    stop = threading.Event()
    progress = until(stop)
    progress(0, 10)
    stop.set()
    with pytest.raises(UnfinishedError):
        progress(1, 10)


def test_what_cannot_be_measured_is_said_and_training_goes_on(tmp_path):
    def examine(network, images, progress):
        raise KakusanError("too few")

    run = tiny.run(tmp_path / "run")
    engine = tiny.engine(examination=Examination(20, examine))
    engine.train(run)
    assert engine.step == 12
    log = (run.path / "log.txt").read_text()
    assert log.count("no measurement after 20 images: too few") == 1


def test_what_is_wrong_with_a_program_is_not_passed_over(tmp_path):
    def examine(network, images, progress):
        raise TypeError("a mistake")

    with pytest.raises(TypeError, match="a mistake"):
        tiny.engine(examination=Examination(20, examine)).train(tiny.run(tmp_path / "run"))


def test_the_field_may_change_in_a_run_that_goes_on():
    assert config.Evaluation().every == 0
    assert config.Evaluation(every=5).every == 5


def test_all_processes_keep_the_timetable_and_one_measures(tmp_path):
    """Or they would save, and share the held-out loss, at different steps."""
    made = configs.from_mapping({}, {"data.source": "digits", "evaluation.every": 20})
    batches = ImageBatches(tiny.pictures(200, (1, 8, 8)))
    given = (lambda *given: None, made, tiny.model(), batches)
    first, other = (start._examination(*given, SimpleNamespace(first=it, device="cpu"), False) for it in (True, False))
    assert first.every == other.every == 20
    assert other.examine is None


def test_copies_along_a_training_are_those_of_images_that_it_learns_from(tmp_path, monkeypatch):
    monkeypatch.setattr(seeing, "user_cache_path", lambda name: tmp_path / "cache" / name)
    more = {"data.held_out": 20, "data.flip": True}
    run = train(tmp_path / "run", metrics=["copies-pixels"], more=more)
    (told, *_) = (line["measurements"][0]["protocol"] for line in run.metrics() if "measurements" in line)
    assert (told["held_out"], told["mirrored"]) == (20, True)
