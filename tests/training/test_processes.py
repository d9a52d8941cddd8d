"""Several processes learn what one learns: the same steps, divided among them."""

import os
import subprocess
import sys
import time
from random import Random

import pytest
import torch
from PIL import Image

from kakusan.runs import Run
from kakusan.shapes import caption, draw, scene
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


def torchrun(directory, *arguments, **more):
    """Starts two processes as docs/scale.md does."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", "-m", "kakusan"]
    return subprocess.Popen(
        [*command, "--", "train", *map(str, arguments)],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_processes_agree_on_a_directory_that_none_was_told(tmp_path):
    """Each would name it after the second in which it got there."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time, kakusan\n"
        "time.sleep(1.5 * int(os.environ['RANK']))\n"
        "run = kakusan.train('digits', steps=1, device='cpu', overrides={'network.channels': '8'}, show=False)\n"
        "print(run.path)\n"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(launcher, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == len(list((tmp_path / "runs").iterdir())) == 1


def test_one_of_them_may_judge_alone(tmp_path):
    """Training a judge asks no other process for anything."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, kakusan, kakusan.evaluation.judge as judging\n"
        "from kakusan.config.models import Training\n"
        "judging.Training = lambda **given: Training(**{**given, 'images': 640})\n"
        "judging.user_cache_path = lambda name: __import__('pathlib').Path('cache')\n"
        "settings = {'network.channels': '8', 'sampling.steps': 2}\n"
        "run = kakusan.train('digits', run='run', steps=1, device='cpu', overrides=settings, show=False)\n"
        "if os.environ['RANK'] == '0':\n"
        "    print(kakusan.evaluate(run, n=20, device='cpu', show=False).protocol['n'])\n"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(launcher, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["20"]), done.stderr


DIGITS = ("--device=cpu", "--training.samples_every=0", "--data.held_out=0.1", "--training.log_every=5")


def test_the_preset_learns_the_same_on_one_and_two_processes(tmp_path):
    """Weights and averages after 20 steps, and what is told on the way; one process speaks."""
    process = torchrun(tmp_path, "digits", "--steps=20", "--run=two", *DIGITS)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert out.count("2,560 images seen") == 1
    alone = [sys.executable, "-m", "kakusan", "train", "digits", "--steps=20", "--run=one", *DIGITS]
    subprocess.run(alone, cwd=tmp_path, check=True, capture_output=True, timeout=240)
    one, two = Run.open(tmp_path / "one"), Run.open(tmp_path / "two")
    for which in ("raw", "ema"):
        mine, theirs = (read_tensors(run.checkpoint().weights_path(which)) for run in (one, two))
        assert max((mine[name] - theirs[name]).abs().max().item() for name in mine) <= 5e-4
    for mine, theirs in zip(metrics(one), metrics(two), strict=True):
        assert mine.keys() == theirs.keys()
        assert mine["images"] == theirs["images"]
        for name in {"loss", "held_out_loss", "held_out_levels"} & mine.keys():
            assert mine[name] == pytest.approx(theirs[name], rel=1e-3)


@pytest.mark.slow
def test_an_autoencoder_and_a_model_in_its_latents_are_the_same_of_one_and_two(tmp_path):
    """Latents are brought to deviation 1 over the batch of both, and one of them encodes for both.

    The mean of latents is taken from them, so the bias that moves it has no gradient but rounding, which Adam would
    divide by itself: here ``eps`` is above it.
    """
    cache = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    still = ("--optimizer.eps=1e-4", "--training.samples_every=0")
    short = ("--steps=12", "--device=cpu", "--network.channels=8,16", *still)
    for preset, inside in (("digits-autoencoder", ()), ("digits-latent", ("--data.latent=digits-autoencoder-1",))):
        process = torchrun(tmp_path, preset, f"--run={preset}-2", *short, *inside, env=cache)
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        alone = [sys.executable, "-m", "kakusan", "train", preset, f"--run={preset}-1", *short, *inside]
        subprocess.run(alone, cwd=tmp_path, check=True, capture_output=True, timeout=240, env=cache)
        one, two = (Run.open(tmp_path / f"{preset}-{count}").checkpoint() for count in (1, 2))
        mine, theirs = (read_tensors(it.weights_path("ema")) for it in (one, two))
        assert max((mine[name] - theirs[name]).abs().max().item() for name in mine) <= 1e-5


@pytest.mark.slow
def test_a_clip_is_the_same_of_one_and_two(tmp_path):
    """Each pair is told from those of both."""
    (tmp_path / "scenes").mkdir()
    for index in range(24):
        it = scene(0, index)
        Image.fromarray(draw(it, 16).permute(1, 2, 0).numpy()).save(tmp_path / "scenes" / f"{index}.png")
        (tmp_path / "scenes" / f"{index}.txt").write_text(caption(it, Random(index)))
    sizes = ("--network.width=8", "--network.image_width=16", "--network.image_layers=1", "--network.image_heads=2")
    more = ("--text.width=16", "--text.layers=1", "--text.heads=2", "--training.batch_size=8", "--data.held_out=8")
    how = ("--data.source=scenes", "--steps=6", "--device=cpu", "--training.samples_every=0", *sizes, *more)
    process = torchrun(tmp_path, "shapes-clip", "--run=two", *how)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    alone = [sys.executable, "-m", "kakusan", "train", "shapes-clip", "--run=one", *how]
    subprocess.run(alone, cwd=tmp_path, check=True, capture_output=True, timeout=240)
    one, two = (Run.open(tmp_path / name) for name in ("one", "two"))
    mine, theirs = (read_tensors(it.checkpoint().weights_path("ema")) for it in (one, two))
    assert max((mine[name] - theirs[name]).abs().max().item() for name in mine) <= 1e-5
    assert metrics(two)[-1]["held_out_loss"] == pytest.approx(metrics(one)[-1]["held_out_loss"], rel=1e-5)


@pytest.mark.slow
def test_what_one_of_two_measures_leaves_them_in_step(tmp_path):
    how = ("--evaluation.every=600", "--evaluation.every_n=20", "--evaluation.steps=2", "--training.samples_every=0")
    process = torchrun(tmp_path, "digits", "--steps=10", "--run=two", "--device=cpu", "--data.held_out=0.1", *how)
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    lines = Run.open(tmp_path / "two").metrics()
    for name in ("held_out_loss", "evaluation"):
        assert [line["images"] for line in lines if name in line] == [640, 1280]


def test_a_polite_kill_of_the_launcher_saves_and_another_number_of_processes_goes_on(tmp_path):
    process = torchrun(tmp_path, "digits", "--steps=9999", "--run=run", *DIGITS)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=120)
    run = Run.open(tmp_path / "run")
    step = run.checkpoint().state()["step"]
    assert step >= 5
    alone = [sys.executable, "-m", "kakusan", "train", "--resume=run", f"--steps={step + 2}"]
    subprocess.run(alone, cwd=tmp_path, check=True, capture_output=True, timeout=240)
    assert run.checkpoint().state()["step"] == step + 2
