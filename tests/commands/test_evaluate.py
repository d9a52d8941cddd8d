"""Judging from the command line: every number beside its noise floor and with its protocol, in words and as JSON."""

import json
import shutil

import pytest

from kakusan.evaluation import judge
from kakusan.runs import Run


@pytest.fixture
def mine(run, tmp_path, monkeypatch):
    """A copy of the run, and a judge that has learned nothing: quick, and as good for what is tested here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(judge, "_train", lambda network, images, device, show: network)
    return shutil.copytree(run, tmp_path / "mine")


ASKED = ("-n50", "--steps=2", "--guidance=2", "--seed=3", "--device=cpu")


def test_json_is_one_document_and_is_recorded_in_the_run(kakusan, mine):
    answer = kakusan("evaluate", mine, "--json", *ASKED)
    assert answer.status == 0
    document = json.loads(answer.out)
    assert document["noise_floor"] > 0
    protocol = document["protocol"]
    assert (protocol["n"], protocol["reference"], protocol["splits"]) == (50, "digits", 10)
    assert (protocol["sampler"], protocol["steps"], protocol["nfe"]) == ("ddim", 2, 2)
    assert (protocol["guidance"], protocol["seed"]) == (2, 3)
    assert Run.open(mine).metrics()[-1] == {"evaluation": document}


def test_people_read_every_number_beside_the_noise_floor(kakusan, mine):
    answer = kakusan("evaluate", mine, "--checkpoint=8", "--weights-from=raw", *ASKED)
    judged = Run.open(mine).metrics()[-1]["evaluation"]
    lines = answer.out.splitlines()
    assert lines[0].split("  ")[-1].strip() == "real images (noise floor)"
    assert lines[1].split() == [
        "Fréchet",
        "distance",
        *"{:.2f} ({:.2f} to {:.2f})".format(judged["frechet_distance"], *judged["frechet_distance_interval"]).split(),
        *f"{judged['noise_floor']:.2f} ± {judged['noise_floor_spread']:.2f}".split(),
    ]
    assert f"{judged['class_accuracy']:.1%}" in lines[2]
    for words in (["n", "50"], ["network", "calls", "an", "image", "2"], ["guidance", "2"], ["seed", "3"]):
        assert words in [line.split() for line in lines]
    assert "mine, raw weights after 8 images" in answer.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("-n 899", "n must lie between 2 and 898, half of the images of digits"),
        ("--against nowhere", "there is nothing called nowhere here, and unknown data source 'nowhere': known are"),
        ("--checkpoint 9", "mine holds no checkpoint at 9 images (there are 8, 16)"),
        ("--sampler dimm", "unknown sampler 'dimm': did you mean 'ddim'?"),
        ("--steps 21", "steps must be between 1 and 20 for this chain, not 21"),
    ],
)
def test_what_cannot_be_is_refused_and_not_recorded(kakusan, mine, arguments, sentence):
    before = Run.open(mine).metrics()
    assert kakusan("evaluate", "mine", *arguments.split()).check_refused().startswith(sentence)
    assert Run.open(mine).metrics() == before
