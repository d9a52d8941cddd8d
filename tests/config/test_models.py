"""What a configuration holds, what it refuses, and in which words."""

import pytest
from pydantic import ValidationError

from kakusan.config import Config, from_mapping
from kakusan.config.models import SECTIONS, known_fields, variants
from kakusan.errors import KakusanError


def configure(**sections):
    return from_mapping({"data": {"source": "pictures"}, **sections})


def test_a_source_is_enough():
    config = configure()
    assert config == Config(data={"source": "pictures"})
    assert (config.network.kind, config.schedule.kind, config.parametrization.kind) == ("unet", "cosine", "v")
    assert config.training.images > 0
    assert config.training.steps is config.training.epochs is None


def test_it_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        configure().training.seed = 1


@pytest.mark.parametrize("section", ["network", "schedule", "parametrization"])
def test_the_bare_kind_stands_for_its_section(section):
    for kind, model in variants(section).items():
        if all(not field.is_required() for field in model.model_fields.values()):
            config = configure(**{section: kind})
            assert getattr(config, section) == model(kind=kind)
            assert config == configure(**{section: {"kind": kind}})


def test_a_section_without_its_kind_is_of_the_usual_one():
    assert configure(network={"blocks": 1}) == configure(network={"kind": "unet", "blocks": 1})
    assert configure(schedule={"steps": 7}) == configure(schedule={"kind": "cosine", "steps": 7})


def test_every_field_is_described_in_one_line():
    for section in SECTIONS:
        for name, field in known_fields(section).items():
            assert field.description, f"{section}.{name}"
            assert "\n" not in field.description, f"{section}.{name}"


@pytest.mark.parametrize(
    ("section", "fields", "sentence"),
    [
        ("schedule", {"steps": 0}, "schedule.steps must be a whole number of at least 1, not 0"),
        (
            "schedule",
            {"kind": "linear", "beta_end": 1.0},
            "schedule.beta_end must be a number above 0 and below 1, not 1.0",
        ),
        (
            "schedule",
            {"kind": "linear", "beta_start": 0},
            "schedule.beta_start must be a number above 0 and below 1, not 0",
        ),
        (
            "schedule",
            {"kind": "edm", "sigma_max": float("inf")},
            "schedule.sigma_max must be a number above 0, not inf",
        ),
        ("schedule", "lineer", "unknown kind of schedule 'lineer': did you mean 'linear'?"),
        ("schedule", [1], "schedule must be a mapping of fields, not [1]"),
        ("data", {"source": "x", "channels": 4}, "data.channels must be 1 or 3, or null, not 4"),
        ("data", {"source": "x", "max_broken": 1.5}, "data.max_broken must be a number from 0 to 1, not 1.5"),
        ("data", {"source": 2024}, "data.source must be text, in quotes, not 2024"),
        (
            "network",
            {"channels": []},
            "network.channels must be a list of one or more whole numbers of at least 1, not []",
        ),
        (
            "network",
            {"channels": [32, 0]},
            "network.channels must be a list of one or more whole numbers of at least 1, not 0",
        ),
        (
            "optimizer",
            {"betas": [0.9]},
            "optimizer.betas must be a list of 2 numbers of at least 0 and below 1, not [0.9]",
        ),
        ("optimizer", {"learning_rate": "fast"}, "optimizer.learning_rate must be a number above 0, not 'fast'"),
        ("objective", {"times": "normal"}, "objective.times must be uniform or lognormal, not 'normal'"),
        ("training", {"batch_size": True}, "training.batch_size must be a whole number from 1 to 100000, not True"),
        ("training", {"seed": 0.5}, "training.seed must be a whole number, not 0.5"),
        ("training", {"device": "gpu"}, "training.device must be auto, cpu, cuda, cuda:N or mps, not 'gpu'"),
        ("sampling", {"sampler": "dimm"}, "unknown sampler 'dimm': did you mean 'ddim'? known are ddim, ddpm, heun"),
        ("sampling", {"grid": "karas"}, "unknown grid 'karas': did you mean 'karras'?"),
        (
            "sampling",
            {"sampler": "heun", "eta": 0.5},
            "sampling.eta is 0.5, but heun takes none: set it to 0.0, or use ddim",
        ),
        (
            "sampling",
            {"sampler": "ddim", "variance": "beta"},
            "sampling.variance is beta, but ddim takes none: set it to posterior, or use ddpm",
        ),
        ("evaluation", {"n": 1}, "evaluation.n must be a whole number of at least 2, or null, not 1"),
    ],
)
def test_a_bad_value_is_told_with_its_limit(section, fields, sentence):
    with pytest.raises(KakusanError) as caught:
        configure(**{section: fields})
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps", "mps:0"])
def test_devices_that_there_may_be(device):
    assert configure(training={"device": device}).training.device == device


@pytest.mark.parametrize("length", ["steps", "images", "epochs"])
def test_one_length_of_training_is_enough(length):
    training = configure(training={length: 3}).training
    assert {name: getattr(training, name) for name in ("steps", "images", "epochs")} == {
        "steps": None, "images": None, "epochs": None, length: 3
    }  # fmt: skip


def test_two_lengths_of_training_are_refused():
    with pytest.raises(KakusanError, match=r"^training takes one of steps, images and epochs, not steps and images"):
        configure(training={"images": 3, "steps": 1})


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"netwrk": {}}, "unknown section 'netwrk': did you mean 'network'?"),
        ({"network": {"chanels": [1]}}, "unknown field of unet network 'chanels': did you mean 'channels'?"),
        ({"schedule": {"kind": "edm", "steps": 5}}, "unknown field of edm schedule 'steps': known are kind, sigma_max"),
        ({"training": {"stps": 5}}, "unknown field of training 'stps': did you mean 'steps'?"),
        (
            {"training": {"learning_rate": 1}},
            "unknown field training.learning_rate: did you mean optimizer.learning_rate?",
        ),
        ({"training": {"batch": 3}}, "unknown field of training 'batch': did you mean 'batch_size'?"),
        ({"data": {"sourc": "x"}}, "unknown field of data 'sourc': did you mean 'source'?"),
        ({"data": {}}, "data.source is missing: digits, cifar10, shapes, shapes-single, folder, archive"),
    ],
)
def test_an_unknown_or_missing_field_is_told_with_the_nearest(sections, sentence):
    with pytest.raises(KakusanError) as caught:
        configure(**sections)
    assert str(caught.value).startswith(sentence)


def test_of_several_mistakes_the_first_is_told_and_the_others_are_named():
    with pytest.raises(KakusanError) as caught:
        configure(training={"device": "gpu", "keep": 0}, schedule={"steps": 0})
    assert str(caught.value) == (
        "schedule.steps must be a whole number of at least 1, not 0 (the default is 1000) "
        "(and 2 more: training.device, training.keep)"
    )
