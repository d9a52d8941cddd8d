"""Stopping and resuming equals going on, bit for bit, whatever of a pipeline learns."""

import shutil

import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.files import atomic_write
from kakusan.runs import Run
from kakusan.tensors import pack, read_tensors
from kakusan.training import start
from tests import tiny
from tests.customising.scenes import diamonds, settings

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.pipelines import saved

KIND = {"objective__class_prompts": ("a red star", "a blue circle"), "objective__prior_images": 2}
WAYS = {
    "lora": ("sd21", KIND | {"network__text_encoder": True, "objective__condition_dropout": 0.3}),
    "dreambooth": ("sd15", KIND | {"data__flip": True}),
    "textual-inversion": ("sdxl", {"network__vectors": 2, "objective__noise_offset": 0.1}),
}
STEADY = {"optimizer__decay": "none", "training__log_every": 1}  # a longer run knows of no earlier end


def told(preset, directory, steps):
    family, changes = WAYS[preset]
    model = directory / family
    if not model.exists():
        saved(family, model)
    changes = {**STEADY, **changes, "network__model": str(model), "training__steps": steps}
    return settings(preset, diamonds(directory / "images"), **changes)


@pytest.mark.parametrize("preset", WAYS)
def test_a_run_that_goes_on_ends_where_one_at_once_does(preset, tmp_path):
    whole = start.begin(told(preset, tmp_path, 3), tmp_path / "whole", show=False)
    there = start.begin(told(preset, tmp_path, 1), tmp_path / "there", show=False)
    with pytest.raises(AssertionError):
        tiny.assert_same(whole, there)
    start.resume(Run.open(there.path), {"training.steps": 3}, show=False)
    tiny.assert_same(whole, there)
    assert tiny.metrics(whole) == tiny.metrics(there)


def test_it_goes_on_with_the_pictures_of_the_kind_that_it_began_with(tmp_path):
    """And not with such as the pipeline would draw anew, on another device say."""
    run = start.begin(told("dreambooth", tmp_path, 1), tmp_path / "run", show=False)
    before = read_tensors(run.prior_path)["images"].clone()
    other = tmp_path / "other"
    shutil.copytree(run.path, other)
    atomic_write(Run(other).prior_path, pack({"images": 255 - before}))
    with pytest.raises(KakusanError, match="learned from other images"):
        start.resume(Run.open(other), {"training.steps": 2}, show=False)
    start.resume(run, {"training.steps": 2}, show=False)
    assert torch.equal(read_tensors(run.prior_path)["images"], before)


def test_another_pipeline_under_the_same_name_is_refused(tmp_path):
    run = start.begin(told("lora", tmp_path, 1), tmp_path / "run", show=False)
    shutil.rmtree(tmp_path / "sd21")
    saved("sd21", tmp_path / "sd21", seed=1)
    with pytest.raises(KakusanError, match="sd21"):
        start.resume(run, {"training.steps": 2}, show=False)
