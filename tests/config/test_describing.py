"""What is written says what a field means, and loads as what it was."""

from importlib.metadata import version

import pytest
import yaml

from kakusan.config import describe_section, field_rows, from_mapping, load, to_yaml
from kakusan.config.models import SECTIONS, variants

SOURCES = [
    "digits",
    "2024",
    "1e5",
    "yes",
    "null",
    "~",
    "a: b # c",
    "図 鑑",
    "'\"",
    "two\nlines",
    "\x7f\u2028",
    "2024-01-01",
]
CONFIGS = [
    {},
    {"schedule": {"kind": "quadratic", "beta_start": 1e-7}, "parametrization": "epsilon"},
    {"schedule": {"kind": "betas", "betas": [0.1, 1 / 3]}, "network": {"kind": "own", "name": "MyNet"}},
    {"schedule": "edm", "parametrization": {"kind": "edm", "sigma_data": 0.1 + 0.2}, "network": "simple_unet"},
    {"schedule": "rectified_flow", "parametrization": "flow", "network": {"attention_resolutions": []}},
    {"training": {"epochs": 3, "device": "cuda:1"}, "optimizer": {"clip_norm": None, "eps": 1e-300}},
    {"sampling": {"grid": "karras", "sampler": "heun"}, "evaluation": {"n": 10, "guidance": 0}},
]


def round_trip(config, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), "utf-8")
    return load(path)


@pytest.mark.parametrize("sections", CONFIGS)
def test_what_is_written_loads_as_it_was(sections, tmp_path):
    config = from_mapping({"data": {"source": "x"}, **sections})
    assert round_trip(config, tmp_path) == config


@pytest.mark.parametrize("source", SOURCES)
def test_text_stays_text_under_every_yaml(source, tmp_path):
    config = from_mapping({"data": {"source": source}})
    assert round_trip(config, tmp_path) == config
    assert yaml.safe_load(to_yaml(config))["data"]["source"] == source


def test_the_version_is_that_of_the_writer(tmp_path):
    old = from_mapping({"version": "0.0.1", "data": {"source": "x"}})
    assert old.version == "0.0.1"
    assert round_trip(old, tmp_path).version == version("kakusan")


def test_every_field_is_written_on_one_line_with_its_description():
    config = load("digits-latent", {"network.text_conditional": True, "network.middle_attention": True})
    lines = to_yaml(config).splitlines()
    for row in field_rows(config):
        (line,) = (
            line for line in lines if line.startswith(f"  {row.name}: ") and line.endswith(f"  # {row.description}")
        )
        assert len(line) <= 120
        assert row.value in line
    for section in SECTIONS:
        assert lines[lines.index(f"{section}:") - 1] == f"# {describe_section(section)}"


def test_rows_are_the_fields_of_the_chosen_kind():
    rows = field_rows(load("digits", {"schedule": "linear"}))
    told = [section for section in SECTIONS if section != "text"]  # of which a network that reads none hears nothing
    assert list(dict.fromkeys(row.section for row in rows)) == told
    assert [row.name for row in rows if row.section == "schedule"] == ["kind", "steps", "beta_start", "beta_end"]
    (kind,) = (row for row in rows if (row.section, row.name) == ("schedule", "kind"))
    assert kind.value == "linear"
    assert all(name in kind.allowed for name in variants("schedule"))


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("data.source", "text"),
        ("data.flip", "true or false"),
        ("data.channels", "1 or 3, or null"),
        ("data.max_broken", "a number from 0 to 1"),
        ("network.attention_resolutions", "a list of whole numbers of at least 1, or null"),
        ("optimizer.betas", "a list of 2 numbers of at least 0 and below 1"),
        ("optimizer.clip_norm", "a number above 0, or null"),
        ("training.seed", "a whole number"),
        ("sampling.sampler", "ddpm, ddim or heun"),
        ("evaluation.sampler", "ddpm, ddim or heun, or null"),
    ],
)
def test_what_is_allowed_is_said_in_words(name, allowed):
    rows = {f"{row.section}.{row.name}": row for row in field_rows(load("digits"))}
    assert rows[name].allowed == allowed
