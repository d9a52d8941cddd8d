"""Training from the command line: what is said, what is kept, and what is refused before anything is written."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from kakusan.commands import output
from kakusan.runs import Run
from kakusan.tensors import read_tensors
from tests.commands.conftest import TINY, files
from tests.test_files import a_disk_that_holds


@pytest.fixture
def folder(tmp_path):
    """A folder with every kind of image that there is to convert, and two that cannot be read."""
    path = tmp_path / "pictures"
    path.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    colour = Image.fromarray(noise[..., :3])
    for i in range(8):
        colour.save(path / f"{i}.png")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(path / "16-bit.png")
    Image.fromarray(noise[..., 0]).save(path / "grey.png")
    colour.convert("P").save(path / "palette.png")
    Image.fromarray(noise).save(path / "alpha.png")
    colour.resize((12, 9)).save(path / "wide.png")
    (path / "text.png").write_text("I am no picture")
    (path / "truncated.png").write_bytes((path / "0.png").read_bytes()[:120])
    return path


def test_the_beginning_says_what_is_learned_and_the_end_what_to_do_next(kakusan):
    answer = kakusan("train", "digits", "--steps", 1, "--run", "mine", *TINY)
    assert answer.status == 0
    assert "unet with " in answer.err
    assert "1,797 images of 1×8×8 from digits, by 10 classes" in answer.err
    assert "by 10 classes, for 1 step, all within the warm-up" in answer.err
    assert "from 0 to 8 images in mine" in answer.err
    assert "  kakusan sample mine -n 64" in answer.out
    assert "EMA" in answer.out


def test_what_cannot_be_judged_is_not_sent_to_the_judge(kakusan, folder):
    given = ("--network.class_conditional=false", "--data.size=8", f"--data.source={folder}", "--data.max_broken=1")
    for arguments, classes in ((TINY, True), ((*given, *TINY), False)):
        answer = kakusan("train", "digits", "--steps", 1, "--run", f"mine-{classes}", *arguments)
        assert answer.status == 0
        assert ("kakusan evaluate" in answer.out) == classes


def test_a_single_class_is_no_reason_for_a_judge(kakusan, folder, tmp_path):
    shutil.move(folder, tmp_path / "pets" / "cats")
    given = ("--data.size=8", "--data.source=pets", "--data.max_broken=1", *TINY)
    answer = kakusan("train", "digits", "--steps", 1, "--run", "mine", *given)
    assert ", by 1 class, for 1 step" in answer.err
    assert "kakusan evaluate" not in answer.out


def test_any_chain_is_trained_without_a_word_on_sampling(kakusan):
    """The presets leave the steps of a walk to its sampler, which takes no more than the chain has."""
    for preset in ("digits", "digits-edm"):
        shorter = ("--schedule.kind=cosine", "--schedule.steps=1", "--sampling.grid=trailing")
        tiny = [field for field in TINY if not field.startswith(("--schedule", "--sampling"))]
        answer = kakusan("train", preset, "--steps", 1, "--run", preset, *shorter, *tiny)
        assert answer.status == 0, answer.err


def test_json_is_one_document(kakusan, run, tmp_path):
    shutil.copytree(run, tmp_path / "mine")
    answer = kakusan("train", "--resume", "mine", "--steps", 3, "--json")
    assert answer.status == 0
    document = json.loads(answer.out)
    assert document["images"] == 24
    assert document["checkpoint"] == "mine/checkpoints/0000024"
    assert document["interrupted"] is False


def test_what_is_finished_stays_and_is_told(kakusan, run):
    before = files(run / "checkpoints"), (run / "metrics.jsonl").read_text()
    answer = kakusan("train", "--resume", run)
    assert answer.status == 0
    assert "tiny is finished: it has seen 16 images in 2 steps (give a greater length to go on" in answer.err
    assert "16 images seen" in answer.out
    assert (files(run / "checkpoints"), (run / "metrics.jsonl").read_text()) == before


def test_what_is_longer_already_is_not_cut(kakusan, run):
    sentence = kakusan("train", "--resume", run, "--steps", 1).check_refused()
    assert "is longer already: it has seen 16 images in 2 steps, not 8 (give a greater length" in sentence


def test_conversions_are_said_once_and_what_is_skipped_is_listed(kakusan, folder):
    given = ("--network.class_conditional=false", "--data.size=8", f"--data.source={folder}", *TINY)
    sentence = kakusan("train", "digits", "--steps=1", "--run=mine", *given).check_refused()
    assert sentence.startswith("2 of 15 images in")
    assert not (folder.parent / "mine").exists()

    answer = kakusan("train", "digits", "--steps=1", "--run=mine", "--data.max_broken=0.2", *given)
    assert answer.status == 0
    for kind in ("16-bit", "grey", "palette", "transparent", "off-size"):
        assert answer.err.count(f"{kind} image") == 1
    assert "skipped 2 files that cannot be read: text.png (not an image), truncated.png (" in answer.err
    assert "skipped 2 files" in (folder.parent / "mine" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "say what to train"),
        ("digit", "unknown preset 'digit': did you mean 'digits'?"),
        ("missing.yaml", "missing.yaml cannot be read"),
        ("digits --optimiser.eps 1", "unknown section 'optimiser': did you mean 'optimizer'?"),
        ("digits --optimizer.learning_rat 1", "unknown field of optimizer 'learning_rat': did you mean"),
        (
            "digits --lr 1e-3",
            "unknown option '--lr': did you mean --optimizer.learning_rate? (see kakusan train --help)",
        ),
        ("digits --num-epochs 3", "unknown option '--num-epochs': did you mean '--epochs'?"),
        ("digits --sampling.sampler dimm", "unknown sampler 'dimm': did you mean 'ddim'?"),
        ("digits --schedule.steps 0", "schedule.steps must be a whole number of at least 1, not 0"),
        ("digits --schedule linear --schedule.beta_end 1", "schedule.beta_end must be a number above 0 and below 1"),
        ("digits --steps 2 --epochs 3", "training takes one of steps, images and epochs"),
        ("digits --device gpu", "training.device must be auto, cpu, cuda"),
        ("digits --device cuda:63", "there is no device cuda:63 here"),
        ("digits --data.source empty", "empty holds no image"),
        ("digits --data.source text", "text holds no image"),
        (
            "digits --data.source nowhere",
            "there is nothing called nowhere here, and unknown data source 'nowhere': known are",
        ),
        ("digits --data.source flat", "a network conditioned on classes needs labelled data, and flat has no labels"),
        ("digits --data.size 7", "a height of 7 does not fit this network: it must be a multiple of 2"),
        ("digits --run text", "text already holds files (choose a new directory, or --overwrite"),
        ("digits --run text/a.txt", "text/a.txt is a file, not a directory"),
        ("digits --run /dev/null/run", "cannot write /dev/null/run: "),
        ("--resume nowhere", "there is no run directory nowhere"),
        ("--resume text", "text is not a run directory: it holds no config.yaml"),
        ("digits --resume text", "--resume RUN goes on with a run as it is: leave out PRESET"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(kakusan, tmp_path, arguments, sentence):
    for name in ("empty", "text", "flat"):
        (tmp_path / name).mkdir()
    (tmp_path / "text" / "a.txt").write_text("no picture")
    Image.new("L", (8, 8)).save(tmp_path / "flat" / "a.png")
    before = files(tmp_path)
    assert kakusan("train", *arguments.split()).check_refused().startswith(sentence)
    assert files(tmp_path) == before
    assert files(tmp_path / "text") == ["a.txt"]


def test_a_checkpoint_cut_short_is_not_resumed(kakusan, run, tmp_path):
    shutil.copytree(run, tmp_path / "mine")
    weights = tmp_path / "mine" / "checkpoints" / "0000016" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors is damaged or cut short" in kakusan("train", "--resume=mine", "--steps=3").check_refused()


def test_a_full_disk_is_told_in_one_line(kakusan, tmp_path):
    with a_disk_that_holds(20_000):
        answer = kakusan("train", "digits", "--steps=1", "--run=mine", *TINY)
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith("kakusan: cannot write mine/checkpoints/")
    assert files(tmp_path / "mine") == ["checkpoints", "config.yaml", "log.txt", "metrics.jsonl"]
    assert "ended by an error: cannot write" in (tmp_path / "mine" / "log.txt").read_text()
    assert kakusan("train", "--resume", "mine").status == 0


def test_overwrite_replaces_a_run(kakusan, run, tmp_path):
    shutil.copytree(run, tmp_path / "mine")
    assert kakusan("train", "digits", "--steps=1", "--run=mine", "--overwrite", *TINY).status == 0
    assert files(tmp_path / "mine" / "checkpoints") == ["0000008"]


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-m", "kakusan", "train", "digits", "--steps=100000", "--run=mine", *TINY]
    with subprocess.Popen(
        [*command, "--training.log_every=1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "mine" / "metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    images = Run.open(tmp_path / "mine").checkpoint().images
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == (
        f"interrupted after {images:,} images, which are saved (go on: kakusan train --resume mine)"
    )


def test_the_command_trains_as_its_configuration_says(kakusan, run, tmp_path):
    """From the config.yaml that a run wrote, the same weights are trained again."""
    assert kakusan("train", run / "config.yaml", "--run=again").status == 0
    ours, theirs = (read_tensors(Run.open(path).checkpoint().weights_path("ema")) for path in (run, tmp_path / "again"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_words_are_for_people():
    assert output.in_words([True, 0.123456, {"a": 1, "b": None}, []]) == "yes, 0.1235, a 1, none"
