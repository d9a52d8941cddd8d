"""Several processes learn what one learns: the same steps, divided among them."""

import subprocess
import sys

import pytest
import torch

from kakusan.runs import Run
from kakusan.tensors import read_tensors
from tests.tiny import metrics

pytestmark = pytest.mark.slow

# Dropout stays off: it is drawn by each process for itself.
TRAIN = """
import os, signal, sys
import kakusan, torch
from kakusan.training.tasks.denoising import Denoising

torch.set_num_threads(1)
path, resume, steps, stop = sys.argv[1], sys.argv[2] == "resume", int(sys.argv[3]), sys.argv[4]

def losses(self, batch, draws, real=Denoising.losses):
    if stop == f"{os.environ.get('RANK')} {draws.step}":
        os.kill(os.getpid(), signal.SIGINT)
    return real(self, batch, draws)

Denoising.losses = losses
settings = {"network.channels": "8", "network.attention_resolutions": "[]", "network.class_conditional": True}
settings |= {"data.flip": True, "network.dropout": 0.0, "training.log_every": 3, "training.samples_every": 24}
settings |= {"sampling.steps": 2, "optimizer.decay": "none", "training.batch_size": 8}
if resume:
    kakusan.train(resume=path, steps=steps, device="cpu", show=False)
else:
    kakusan.train("digits", run=path, steps=steps, device="cpu", overrides=settings, show=False)
"""


def train(path, processes, *, steps=12, resume=False, stop="never"):
    """Trains in processes of their own; ``stop`` is the one that is sent Ctrl-C, and at which step."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    script = path.with_suffix(".py")
    script.write_text(TRAIN)
    command = [sys.executable, *launcher, str(script), str(path), "resume" if resume else "new", str(steps), stop]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return Run.open(path)


def assert_close(a, b):
    for name in ("model", "ema"):
        mine, yours = (read_tensors(run.checkpoint().path / f"{name}.safetensors") for run in (a, b))
        for key, tensor in mine.items():
            torch.testing.assert_close(tensor, yours[key], rtol=1e-3, atol=2e-5)
    for mine, yours in zip(metrics(a), metrics(b), strict=True):
        assert mine == pytest.approx(yours, rel=1e-3)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "alone", 1)


def test_two_processes_learn_what_one_learns(alone, tmp_path):
    """Order, times, noise, hidden conditions and mirroring are drawn for the whole batch; only sums round anew."""
    together = train(tmp_path / "together", 2)
    assert_close(alone, together)
    assert {path.name for path in together.path.iterdir()} == {path.name for path in alone.path.iterdir()}
    assert len((together.path / "log.txt").read_text().splitlines()) == 3


def test_ctrl_c_to_one_of_them_stops_both_at_one_step_and_one_may_go_on(alone, tmp_path):
    stopped = train(tmp_path / "run", 2, stop="1 5")
    assert stopped.checkpoint().state()["step"] == 6
    assert_close(alone, train(tmp_path / "run", 1, resume=True))


def test_two_may_go_on_where_one_stopped(alone, tmp_path):
    train(tmp_path / "run", 1, steps=6)
    assert_close(alone, train(tmp_path / "run", 2, resume=True))
