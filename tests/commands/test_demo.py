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
    """Where the demo was asked to go, whether over what is there, and in which language; it takes that as done."""
    monkeypatch.setenv("LC_ALL", "C")
    calls = []
    monkeypatch.setattr(demo, "demo", lambda path, overwrite, lang: calls.append((path, overwrite, lang)) or METRICS)
    return calls


def test_people_read_where_the_report_is_and_a_few_numbers(kakusan, asked):
    answer = kakusan("demo")
    assert asked == [(Path("runs/demo"), False, "en")]
    for words in (
        "runs/demo/report.html",
        "17.94, real images 17.10",
        "98.1%, real images 99.0%",
        "61 s of 120 s in all",
    ):
        assert words in answer.out


def test_json_holds_all_of_them(kakusan, asked):
    assert json.loads(kakusan("demo", "--run=mine", "--overwrite", "--json").out) == METRICS
    assert asked == [(Path("mine"), True, "en")]


def test_the_report_speaks_the_language_that_was_asked_for_or_the_systems(kakusan, asked, monkeypatch):
    kakusan("demo", "--lang=ja")
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    kakusan("demo")
    kakusan("demo", "--lang=en")
    assert [lang for _, _, lang in asked] == ["ja", "ja", "en"]


def test_an_unknown_language_is_refused_before_anything_is_trained(kakusan, asked):
    assert kakusan("demo", "--lang=fr").check_refused().startswith("unknown language 'fr'")
    assert asked == []


def test_ctrl_c_says_how_to_begin_again(kakusan, monkeypatch):
    def interrupted(path, overwrite, lang):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "demo", interrupted)
    answer = kakusan("demo", "--run=my demo")
    assert answer.status == 130
    assert answer.err.count("\n") == 1
    assert "kakusan demo --run 'my demo' --overwrite" in answer.err
