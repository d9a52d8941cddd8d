"""``kakusan plan``: what a training will cost, for people and for programs."""

import json

import pytest

from kakusan.studies import forecast as planning
from tests.commands.conftest import TINY

SHORT = [option for option in TINY if not option.startswith("--device")]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(planning.forecast, "__defaults__", (0.2, True))


def test_it_is_told_to_people(kakusan, tmp_path):
    answer = kakusan("plan", "digits", "--training.steps=50", "--training.device=cpu", *SHORT)
    assert (answer.status, answer.err) == (0, "")
    told = dict(line.split("   ", 1) for line in answer.out.splitlines())
    assert [name.strip() for name in told][:8] == [
        *("parameters", "length", "pace", "data wait", "work", "utilisation", "memory", "time to the end")
    ]
    assert "50 steps, 400 images" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_it_is_told_to_programs(kakusan):
    answer = kakusan("plan", "digits", "--training.steps=50", "--training.device=cpu", "--json", *SHORT)
    facts = json.loads(answer.out)
    assert facts["steps"] == 50
    assert facts["seconds"] >= facts["train_seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("digts", "unknown preset 'digts': did you mean 'digits'?"),
        ("digits --training.setps 3", "unknown field of training 'setps': did you mean 'steps'?"),
        ("digits --data.source nowhere", "nowhere"),
    ],
)
def test_what_cannot_be_trained_cannot_be_planned(kakusan, arguments, sentence):
    assert sentence in kakusan("plan", *arguments.split()).check_refused()
