"""What the books say goes to a tracker as well, and one that is not installed is named."""

import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest

from kakusan.errors import KakusanError
from kakusan.results import Judgement
from kakusan.training import tracker
from kakusan.training.examination import Examination
from tests import tiny
from tests.tiny import engine, metrics


class Recorder:
    """Stands for what ``wandb`` and ``trackio`` return when they are started."""

    made: ClassVar[list] = []
    refuses: ClassVar[set] = set()

    def __init__(self, **settings):
        self.settings, self.lines, self.finished = settings, [], False
        Recorder.made.append(self)

    def log(self, values, step=None):
        if values["images"] in self.refuses:
            raise ConnectionError("the server\nis away")
        self.lines.append((step, values))

    def define_metric(self, name, step_metric):
        assert (name, step_metric) == ("*", "images")

    def finish(self):
        self.finished = True


def run(path):
    there = tiny.run(path)
    there.write_config("data: {source: digits}\ntraining: {seed: 7}\n")
    return there


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    monkeypatch.setattr(Recorder, "made", [])
    monkeypatch.setattr(Recorder, "refuses", set())
    for name in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(init=Recorder))
    monkeypatch.setattr(tracker, "find_spec", lambda name: object())
    return Recorder.made


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_every_number_of_the_books_is_handed_on(tmp_path, recorded, name):
    there = run(tmp_path / "run")
    engine(tracker=name, held_out=4, steps=3).train(there)
    (one,) = recorded
    assert one.finished
    assert (one.settings["project"], one.settings["config"]["training.seed"]) == ("kakusan", 7)
    assert [values["images"] for _, values in one.lines] == [line["images"] for line in metrics(there)]
    assert {step for step, _ in one.lines} == ({None} if name == "wandb" else {1, 2, 3})
    assert all(isinstance(value, (int, float)) for _, values in one.lines for value in values.values())
    last = metrics(there)[-1]
    assert one.lines[-1][1]["held_out_loss"] == last["held_out_loss"]
    assert one.lines[-1][1]["held_out_levels/7"] == last["held_out_levels"][7]


def test_tensorboard_reads_back_what_the_books_say(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    there = run(tmp_path / "run")
    engine(tracker="tensorboard", steps=3).train(there)
    more = engine(tracker="tensorboard", steps=5)
    more.resume(there)
    more.train(there)
    events = EventAccumulator(str(there.path / "tensorboard")).Reload()
    told = [(event.step, event.value) for event in events.Scalars("loss")]
    lines = [(line["step"], pytest.approx(line["loss"])) for line in there.metrics() if "loss" in line]
    assert told == lines


def test_tensorboard_forgets_what_a_training_took_back(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    there = run(tmp_path / "run")
    with tracker.tracking("tensorboard", there) as track:
        for step, loss in ((1, 9.0), (2, 8.0), (3, 7.0), (2, 5.0), (3, 4.0)):
            track({"step": step, "images": 5 * step, "loss": loss})
    events = EventAccumulator(str(there.path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 9.0), (2, 5.0), (3, 4.0)]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_run_goes_on_under_its_own_name_and_another_does_not(tmp_path, recorded, name):
    """By when it began: one that replaces another in the same directory is another."""
    there = run(tmp_path / "run")
    for began in ("Monday", "Monday", "Tuesday"):
        (there.path / "log.txt").write_text(f"{began}  training\nmore\n")
        engine(tracker=name, steps=1).train(there)
    first, again, other = (one.settings.get("id", one.settings["name"]) for one in recorded)
    assert first == again != other
    assert first.startswith("run-")


def test_what_is_measured_of_samples_is_handed_on(tmp_path, recorded):
    judged = Judgement(
        frechet_distance=2.5,
        frechet_distance_spread=0.1,
        noise_floor=1.0,
        noise_floor_spread=0.1,
        class_accuracy=None,
        classifier_accuracy=0.9,
        seconds=1.0,
    )
    examination = Examination(5, lambda network, images, progress: {"evaluation": judged.as_dict()})
    engine(tracker="wandb", steps=2, examination=examination).train(run(tmp_path / "run"))
    assert {"samples/distance": 2.5}.items() <= recorded[0].lines[-1][1].items()


def test_one_that_fails_in_the_middle_ends_no_training(tmp_path, recorded, monkeypatch):
    monkeypatch.setattr(Recorder, "refuses", {5, 10})
    there = run(tmp_path / "run")
    assert engine(tracker="wandb", steps=3, log_every=1).train(there).images == 15
    assert {values["images"] for _, values in recorded[0].lines} == {15}
    (said,) = (line for line in (there.path / "log.txt").read_text().splitlines() if "wandb" in line)
    assert said.endswith("wandb failed: the server")


def test_one_that_does_not_start_is_told_in_one_line(tmp_path, monkeypatch):
    def start(**settings):
        raise RuntimeError("you are not logged in")

    monkeypatch.setattr(sys.modules["wandb"], "init", start)
    with pytest.raises(KakusanError, match=r"^training\.tracker wandb does not start: you are not logged in \(mend"):
        engine(tracker="wandb").train(run(tmp_path / "run"))


def test_it_is_finished_whatever_happens(tmp_path, recorded):
    one = engine(tracker="wandb")
    one._draws = None
    with pytest.raises(TypeError):
        one.train(run(tmp_path / "run"))
    assert recorded[0].finished


def test_nothing_is_tracked_unasked(tmp_path, recorded):
    engine(steps=1).train(run(tmp_path / "run"))
    engine(tracker="wandb", steps=1).train()
    assert not recorded


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboard"), ("wandb", "wandb")])
def test_one_that_is_not_installed_is_named_before_anything_is_done(monkeypatch, name, package):
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    with pytest.raises(KakusanError, match=rf"^training\.tracker {name} needs the package {package}, .*\(pip install"):
        engine(tracker=name)
