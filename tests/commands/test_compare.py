"""Runs side by side, in words and as JSON."""

import json
import shutil

import pytest

from kakusan.config.models import Sampling
from kakusan.results import Judgement, Measurement, judgements_in
from kakusan.runs import Run
from tests.commands.conftest import TINY


@pytest.fixture
def pair(kakusan, run, tmp_path):
    """Two runs of different rates, of which the FID was measured in different ways."""
    shutil.copytree(run, tmp_path / "a")
    more = ("--optimizer.learning_rate=2e-3", "--data.held_out=20", "--training.log_every=1")
    assert kakusan("train", "digits", "--steps=3", "--run=b", *TINY, *more).status == 0
    for name, value, steps in (("a", 12.0, 50), ("b", 9.0, 20)):
        protocol = {"metric": "fid", "n": 100, "steps": steps, "weights_hash": name, "schedule": f"Chain {name}"}
        found = Measurement(metric="fid", value=value, interval=(value - 1, value + 1), protocol=protocol)
        Run.open(tmp_path / name).record({"measurements": [found.as_dict()]})
    judged = Judgement(
        frechet_distance=1.5,
        frechet_distance_spread=0.1,
        frechet_distance_interval=(1.4, 1.6),
        noise_floor=1.0,
        noise_floor_spread=0.1,
        class_accuracy=0.75,
        classifier_accuracy=0.9,
        seconds=1.0,
        protocol=Sampling().model_dump(),
    )
    Run.open(tmp_path / "b").record({"evaluation": judged.as_dict()})
    return "a", "b"


def test_people_read_a_column_a_run(kakusan, pair):
    answer = kakusan("compare", *pair)
    assert answer.status == 0, answer.err
    rows = {line.split("   ")[0].strip(): line for line in answer.out.splitlines()}
    assert "0.002" in rows["optimizer.learning_rate"]
    assert "12 (11 to 13)" in rows["fid"]
    assert "9 (8 to 10)" in rows["fid"]
    assert "1.5 (1.4 to 1.6)" in rows["distance"]
    assert "75.0%" in rows["class accuracy"]
    assert "held-out loss" in rows
    assert "training.log_every" not in rows
    assert answer.err.strip() == "fid was not measured alike: steps 50, 20"


def test_programs_read_everything(kakusan, pair):
    document = json.loads(kakusan("compare", *pair, "--json").out)
    first, second = document["sides"]
    assert (first["run"], second["run"]) == pair
    assert first["differs"].keys() == second["differs"].keys()
    assert second["measurements"]["fid"]["value"] == 9.0
    assert first["judgement"] is None
    assert second["images"] == 24
    assert document["notes"] == ["fid was not measured alike: steps 50, 20"]


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (["a"], "a comparison needs two runs at least"),
        (["a", "./a"], "is named twice (name each run once)"),
        (["a", "nowhere"], "there is no run directory nowhere"),
    ],
)
def test_what_cannot_be_compared_is_told(kakusan, pair, runs, sentence):
    answer = kakusan("compare", *runs)
    assert answer.status == 2
    assert sentence in answer.err


def test_what_is_not_whole_is_left_out(kakusan, pair, tmp_path):
    Run.open(tmp_path / "a").record({"measurements": [{"metric": "fid"}, {"metric": "kid", "value": 0.5}]})
    first, _ = json.loads(kakusan("compare", *pair, "--json").out)["sides"]
    assert first["measurements"]["fid"]["value"] == 12.0
    assert first["measurements"]["kid"]["value"] == 0.5


def test_numbers_of_earlier_weights_are_said_to_be(kakusan, pair, tmp_path):
    protocol = {"metric": "kid", "images_seen": 8}
    Run.open(tmp_path / "b").record(
        {"measurements": [Measurement(metric="kid", value=1.0, protocol=protocol).as_dict()]}
    )
    assert "kid was not measured alike: in b after 8 of 24 images" in kakusan("compare", *pair).err


def test_all_numbers_of_one_evaluation_are_as_unlike_as_one_of_them(kakusan, pair):
    """Not the score of other samples is what is best, where their distances do not compare."""
    judged = judgements_in(Run.open("b").metrics())[-1]
    found = judged.model_copy(update={"protocol": {**judged.protocol, "n": 7}, "inception_score": 2.0})
    for name in ("a", "b"):
        Run.open(name).record({"evaluation": found.as_dict()})
        found = found.model_copy(update={"protocol": {**judged.protocol, "n": 8}, "inception_score": 3.0})
    answer = kakusan("compare", *pair)
    assert "distance, score, accuracy were not measured alike: n 7, 8" in answer.err
    assert set(json.loads(kakusan("compare", *pair, "--json").out)["unlike"]) == {
        "distance",
        "score",
        "accuracy",
        "fid",
    }


def test_fields_are_told_as_yaml_has_them(kakusan, pair, tmp_path):
    config = (tmp_path / "b" / "config.yaml").read_text()
    (tmp_path / "b" / "config.yaml").write_text(
        config.replace("attention_resolutions: []", "attention_resolutions: null")
    )
    rows = {line.split("   ")[0].strip(): line for line in kakusan("compare", *pair).out.splitlines()}
    assert rows["network.attention_resolutions"].split()[1:] == ["[]", "null"]


def test_a_page_ends_in_html(kakusan, pair):
    answer = kakusan("compare", *pair, "-o", "notes.txt")
    assert answer.status == 2
    assert "notes.txt does not end in .html, which is what is written (-o notes.html)" in answer.err
