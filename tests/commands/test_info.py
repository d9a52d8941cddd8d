"""What a machine, a run, a checkpoint, weights or a picture is."""

import json
import os
import platform
import shutil
from hashlib import sha256

import pytest
import torch
from PIL import Image

from kakusan import api, build, config
from kakusan.results import Judgement
from kakusan.runs import Run


def check_facts(answer):
    """Holds that a command answered with one JSON document and said nothing else, and returns it."""
    assert (answer.status, answer.err) == (0, "")
    return json.loads(answer.out)


def test_the_machine(kakusan):
    facts = check_facts(kakusan("info", "--json"))
    assert facts["python"] == platform.python_version()
    assert facts["cores"] == os.cpu_count()
    assert facts["torch"] == torch.__version__.partition("+")[0]
    assert "cpu" in facts["devices"]


def test_a_run(kakusan, run):
    facts = check_facts(kakusan("info", run, "--json"))
    assert (facts["data"], facts["network"], facts["schedule"], facts["parametrization"]) == (
        ("digits", "unet", "cosine", "v")
    )
    assert (facts["images"], facts["total_images"], facts["steps"], facts["checkpoints"]) == (16, 16, 2, [8, 16])
    assert facts["loss"] == [line["loss"] for line in Run.open(run).metrics() if "loss" in line][-1]
    model = build.model(config.load(run / "config.yaml"), (1, 8, 8), tuple("0123456789"))
    assert facts["parameters"] == sum(parameter.numel() for parameter in model.denoiser.parameters())


def test_a_run_without_a_checkpoint_or_an_evaluation(kakusan, run, tmp_path):
    shutil.rmtree(shutil.copytree(run, tmp_path / "mine") / "checkpoints")
    assert check_facts(kakusan("info", "mine", "--json"))["checkpoints"] == []
    numbers = {
        name: 0.0
        for name in Judgement.model_fields
        if name not in ("protocol", "remarks", "classes", "frechet_distance_interval", "frechet_distance_infinity")
    }
    whole = {**numbers, "frechet_distance": 2.0, "noise_floor": 1.5, "class_accuracy": None}
    for evaluation in ({**whole, "protocol": {"weights": "old", "n": 100}}, {**whole, "frechet_distance": None}, {}, 3):
        Run.open(tmp_path / "mine").record({"evaluation": evaluation})
    later = {"frechet_distance": 9.0, "protocol": {"weights": "old", "n": 2}}  # which was but a glance
    Run.open(tmp_path / "mine").record({"evaluation": {**whole, **later}})
    lines = [line.split() for line in kakusan("info", "mine").out.splitlines()]
    assert ["checkpoints", "none"] in lines
    assert ["evaluation", "frechet_distance", "2,", "noise_floor", "1.5,", "weights", "old"] in lines


@pytest.mark.parametrize("name", ["state.json", "ema.safetensors"])
def test_a_run_whose_last_checkpoint_is_damaged_shows_the_rest(kakusan, run, tmp_path, name):
    file = shutil.copytree(run, tmp_path / "mine") / "checkpoints" / "0000016" / name
    file.write_bytes(file.read_bytes()[:-100])
    facts = check_facts(kakusan("info", "mine", "--json"))
    assert "mine/checkpoints/0000016" in facts["damaged"]
    assert (facts["data"], facts["checkpoints"]) == ("digits", [8, 16])


def test_a_configuration(kakusan, run):
    facts = check_facts(kakusan("info", run / "config.yaml", "--json"))
    assert (facts["data"], facts["network"], facts["schedule"]) == ("digits", "unet", "cosine")
    assert (facts["steps"], facts["batch_size"]) == (2, 8)
    assert "images" not in facts


def test_a_checkpoint_and_its_weights(kakusan, run):
    path = run / "checkpoints" / "0000008"
    facts = check_facts(kakusan("info", path, "--json"))
    assert (facts["images"], facts["total_images"], facts["steps"], facts["shape"]) == (8, 16, 1, [1, 8, 8])
    weights = check_facts(kakusan("info", path / "model.safetensors", "--json"))
    assert weights["parameters"] == facts["parameters"]
    assert weights["dtypes"] == ["float32"]
    assert weights["sha256"] == sha256((path / "model.safetensors").read_bytes()).hexdigest()


def test_a_picture(kakusan, run):
    kakusan("sample", run, "-n1", "--steps=2", "--seed=12345", "--out=out")
    facts = check_facts(kakusan("info", "out/0000.png", "--json"))
    assert facts["shape"] == [1, 8, 8]
    assert (facts["run"], facts["seed"], facts["sampling"]["steps"]) == ("tiny", 12345, 2)
    assert facts["weights"] == api.load(run, device="cpu").weights_hash
    assert ["seed", "12345"] in [line.split() for line in kakusan("info", "out/0000.png").out.splitlines()]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_that_does_not_say_how_it_was_drawn(kakusan, tmp_path, name):
    Image.new("RGB", (5, 4)).save(tmp_path / name)
    assert check_facts(kakusan("info", name, "--json")) == {
        "picture": name,
        "shape": [3, 4, 5],
        "settings": "none, so it cannot be drawn again",
    }


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "nowhere",
            "there is no nowhere (give a run, a checkpoint, weights, a cache, a YAML file or a picture, or nothing)",
        ),
        ("empty", "empty is neither a run, which holds a config.yaml, nor a checkpoint"),
        ("text.txt", "text.txt is nothing that kakusan can read: not an image (give a run, a checkpoint, weights"),
        ("cut.yaml", "cut.yaml:2: this is no valid YAML"),
        ("cut.safetensors", "cut.safetensors is damaged or cut short"),
    ],
)
def test_anything_else_is_refused(kakusan, tmp_path, name, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "cut.yaml").write_text("data:\n  [")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0")
    assert kakusan("info", name).check_refused().startswith(sentence)
