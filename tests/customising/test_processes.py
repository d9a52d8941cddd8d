"""Several processes teach a pipeline what one teaches it."""

import subprocess
import sys

import pytest
import torch

from kakusan.runs import Run
from kakusan.tensors import read_tensors
from tests.customising.scenes import diamonds

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.pipelines import saved

pytestmark = pytest.mark.slow
SCRIPT = """
import os, sys, kakusan
from kakusan.customising import preparing
if os.environ.get("RANK") == "1":
    preparing.prior_of = lambda *given: sys.exit("the other one draws for both")
told = {
    "network.model": "model",
    "network.text_encoder": True,
    "objective.instance_prompts": ["a red rhombus"],
    "objective.class_prompts": ["a red star"],
    "objective.prior_images": 2,
    "training.batch_size": 2,
    "training.samples_every": 0,
}
kakusan.train("lora", data="images", run=sys.argv[1], steps=3, device="cpu", overrides=told, show=False)
"""


def test_two_processes_teach_sdxl_and_its_text_encoders_what_one_teaches_them(tmp_path):
    """They would wait for ever for the gradients of weights that no loss reaches."""
    saved("sdxl", tmp_path / "model")
    diamonds(tmp_path / "images")
    (tmp_path / "script.py").write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    found = []
    for name, start in (("one", [sys.executable]), ("two", launcher)):
        done = subprocess.run([*start, "script.py", name], cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        found.append(read_tensors(Run(tmp_path / name).checkpoint().weights_path("raw")))
    one, two = found
    assert one.keys() == two.keys()
    for key, weight in one.items():
        torch.testing.assert_close(weight, two[key], rtol=1e-3, atol=1e-5)
