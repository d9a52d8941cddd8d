"""What the books say goes to a tracker as well, and one that is not installed is named."""

from typing import ClassVar

import pytest
from accelerate import tracking as trackers

from kakusan.errors import KakusanError
from kakusan.training import tracker
from tests.tiny import engine, metrics, run


class Recorder:
    """Stands for one of accelerate's trackers."""

    made: ClassVar[list] = []

    def __init__(self, *given, **settings):
        self.given, self.settings, self.lines, self.state = given, settings, [], "made"
        Recorder.made.append(self)

    def start(self):
        self.state = "started"

    def log(self, values, step):
        assert self.state == "started"
        self.lines.append((step, values))

    def finish(self):
        self.state = "finished"


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    monkeypatch.setattr(Recorder, "made", [])
    for name in ("tensorboard", "wandb", "trackio"):
        monkeypatch.setitem(trackers.LOGGER_TYPE_TO_CLASS, name, Recorder)
    monkeypatch.setattr(tracker, "find_spec", lambda name: object())
    return Recorder.made


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_every_number_of_the_books_is_handed_on(tmp_path, recorded, name):
    there = run(tmp_path / "run")
    engine(tracker=name, held_out=4, steps=3).train(there)
    (one,) = recorded
    assert one.state == "finished"
    assert one.given == (("tensorboard", there.path) if name == "tensorboard" else ("kakusan",))
    assert one.settings == ({} if name == "tensorboard" else {"name": "run"})
    assert [step for step, _ in one.lines] == [line["step"] for line in metrics(there)]
    assert all(isinstance(value, (int, float)) for _, values in one.lines for value in values.values())
    last = metrics(there)[-1]
    assert one.lines[-1][1]["held_out_loss"] == last["held_out_loss"]
    assert one.lines[-1][1]["held_out_levels/7"] == last["held_out_levels"][7]


def test_it_is_finished_whatever_happens(tmp_path, recorded):
    one = engine(tracker="wandb")
    one._draws = None
    with pytest.raises(TypeError):
        one.train(run(tmp_path / "run"))
    assert recorded[0].state == "finished"


def test_nothing_is_tracked_unasked(tmp_path, recorded):
    engine(steps=1).train(run(tmp_path / "run"))
    engine(tracker="wandb", steps=1).train()
    assert not recorded


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboard"), ("wandb", "wandb")])
def test_one_that_is_not_installed_is_named_before_anything_is_done(monkeypatch, name, package):
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    with pytest.raises(KakusanError, match=rf"^training\.tracker {name} needs the package {package}, .*\(pip install"):
        engine(tracker=name)
