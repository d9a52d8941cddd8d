"""Every field of the configuration is an option, and the help says all there is to know of it."""

import json

import pytest
import yaml

from kakusan import config
from kakusan.commands.fields import near_fields, take_fields
from kakusan.config.names import presets
from kakusan.errors import KakusanError


@pytest.mark.parametrize(
    ("arguments", "fields", "rest"),
    [
        ("digits --optimizer.learning_rate 1e-3", {"optimizer.learning_rate": "1e-3"}, "digits"),
        ("--optimizer.learning_rate=1e-3 digits", {"optimizer.learning_rate": "1e-3"}, "digits"),
        ("--objective.lognormal_mean -1.2 digits", {"objective.lognormal_mean": "-1.2"}, "digits"),
        ("--schedule linear digits", {"schedule": "linear"}, "digits"),
        ("--ema.ramp_up 0 --ema.ramp_up 1 --steps 3", {"ema.ramp_up": "1"}, "--steps 3"),
        ("--data.source a=b", {"data.source": "a=b"}, ""),
        ("--network.attention_resolutions=", {"network.attention_resolutions": ""}, ""),
        ("--run runs/a.b ./c.yaml -n 3", {}, "--run runs/a.b ./c.yaml -n 3"),
        ("-- --data.source x", {}, "-- --data.source x"),
    ],
)
def test_fields_are_told_from_other_arguments(arguments, fields, rest):
    assert take_fields(arguments.split()) == (fields, rest.split())


@pytest.mark.parametrize("arguments", ["--data.flip", "--data.flip --steps 3"])
def test_a_field_without_a_value_is_refused(arguments):
    with pytest.raises(KakusanError, match=r"--data\.flip needs a value"):
        take_fields(arguments.split())


@pytest.mark.parametrize(
    ("option", "fields"),
    [
        ("--batch_size", ["--training.batch_size"]),
        ("--batch-size", ["--training.batch_size"]),
        ("--Learning-Rat", ["--optimizer.learning_rate"]),
        ("--lr", ["--optimizer.learning_rate"]),
        ("--bs", ["--schedule.beta_start", "--training.batch_size"]),
        ("--channels", ["--data.channels", "--network.channels"]),
        ("--steps", []),
        ("--stepz", []),
        ("--foo", []),
    ],
)
def test_an_option_that_there_is_not_may_mean_a_field(option, fields):
    assert near_fields(option, ["--steps", "--epochs"]) == fields


def test_the_help_names_every_preset(kakusan):
    answer = kakusan("train", "--help")
    assert answer.status == 0
    for name in presets():
        assert f"  {name}  " in answer.out


@pytest.mark.parametrize("preset", presets())
def test_the_help_of_a_preset_shows_every_field_with_value_meaning_and_limits(kakusan, preset):
    text = "".join(kakusan("train", preset, "--help").out.split())  # lines may end at a hyphen
    for row in config.field_rows(config.load(preset)):
        told = f"--{row.section}.{row.name} {row.value} {row.description} [{row.allowed}]"
        assert "".join(told.split()) in text


def test_the_help_shows_fields_as_they_are_given(kakusan):
    text = " ".join(kakusan("train", "digits", "--help", "--schedule", "linear", "--steps", 7).out.split())
    assert "--schedule.beta_start 0.0001" in text
    assert "--training.steps 7" in text


def test_the_printed_configuration_is_the_one_that_would_run(kakusan, tmp_path):
    answer = kakusan("train", "digits", "--print-config", "--steps=7", "--seed", 3, "--ema.ramp_up=0", "--compile")
    (tmp_path / "mine.yaml").write_text(answer.out)
    overrides = {"training.steps": 7, "training.seed": 3, "ema.ramp_up": 0, "training.compile": True}
    assert config.load(tmp_path / "mine.yaml") == config.load("digits", overrides)
    assert kakusan("train", "mine.yaml", "--print-config").out == answer.out
    document = json.loads(kakusan("train", "mine.yaml", "--print-config", "--json").out)
    assert list(document.items()) == list(yaml.safe_load(answer.out).items())
