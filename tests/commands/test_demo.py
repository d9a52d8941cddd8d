"""The demo's few numbers, in words and as JSON; what it does is tested where it is done."""

import json
from pathlib import Path

import pytest

from kakusan.studies import demo

METRICS = {
    "frechet_distance": 17.94,
    "noise_floor": 17.1,
    "class_accuracy": 0.981,
    "classifier_accuracy": 0.99,
    "train_seconds": 61.2,
    "total_seconds": 119.8,
}


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Where the demo was asked to go, and whether over what is there; it takes that as done."""
    paths = []
    monkeypatch.setattr(demo, "demo", lambda path, overwrite: paths.append((path, overwrite)) or METRICS)
    return paths


def test_people_read_where_the_report_is_and_a_few_numbers(kakusan, asked):
    answer = kakusan("demo")
    assert asked == [(Path("runs/demo"), False)]
    for words in (
        "runs/demo/report.html",
        "17.94, real images 17.10",
        "98.1%, real images 99.0%",
        "61 s of 120 s in all",
    ):
        assert words in answer.out


def test_json_holds_all_of_them(kakusan, asked):
    assert json.loads(kakusan("demo", "--run=mine", "--overwrite", "--json").out) == METRICS
    assert asked == [(Path("mine"), True)]


def test_ctrl_c_says_how_to_begin_again(kakusan, monkeypatch):
    def interrupted(path, overwrite):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "demo", interrupted)
    answer = kakusan("demo", "--run=my demo")
    assert answer.status == 130
    assert answer.err.count("\n") == 1
    assert "kakusan demo --run 'my demo' --overwrite" in answer.err
