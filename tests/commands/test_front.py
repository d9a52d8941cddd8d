"""The front door: quick help, and whatever goes wrong told in one line with the right exit status."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version

import pytest

from kakusan import errors
from kakusan.commands import front
from kakusan.runs import Run
from tests.commands.conftest import TINY

COMMANDS = (
    "compare",
    "data caption",
    "data check",
    "data prepare",
    "demo",
    "evaluate",
    "finetune",
    "generate",
    "export",
    "import",
    "info",
    "lora info",
    "lora merge",
    "plan",
    "report",
    "sample",
    "study",
    "train",
    "weights",
)


def python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, **options)


def test_help_names_every_command_and_loads_nothing_heavy():
    process = python("-X", "importtime", "-m", "kakusan", "--help")
    assert process.returncode == 0
    assert set(re.findall(r"^  (\w+)  ", process.stdout, re.MULTILINE)) == {command.split()[0] for command in COMMANDS}
    imported = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
    assert "typer" in imported
    heavy = {"torch", "numpy", "PIL", "rich", "diffusers", "matplotlib", "accelerate", "importlib.metadata"}
    assert imported.isdisjoint(heavy)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_takes_debug_and_json(kakusan, command):
    answer = kakusan(*command.split(), "--help")
    assert (answer.status, answer.err) == (0, "")
    assert "--debug" in answer.out
    assert "--json" in answer.out


def test_nothing_at_all_is_answered_with_the_help(kakusan):
    assert kakusan() == kakusan("--help")


def test_the_version_is_that_of_the_package(kakusan):
    assert kakusan("--version").out == f"kakusan {version('kakusan')}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("trian", "unknown command 'trian': did you mean 'train'?"),
        ("sample RUN --setps 3", "unknown option '--setps': did you mean '--steps'?"),
        ("sample RUN --hlep", "unknown option '--hlep': did you mean '--help'?"),
        ("--hlep", "unknown option '--hlep': did you mean '--help'?"),
        ("train digits --network.kind own", "network.name is missing: its class, for people; the network itself is"),
        ("train digits --data.size 100000", "data.size must be a whole number from 1 to 4096, or null, not 100000"),
        ("sample", "missing argument 'RUN' (see kakusan sample --help)"),
        ("sample RUN OTHER", "got unexpected extra argument(s) (OTHER) (see kakusan sample --help)"),
        ("sample RUN --steps many", "--steps must be a whole number, not 'many' (see kakusan sample --help)"),
        ("sample RUN --guidance=x", "--guidance must be a number, not 'x' (see kakusan sample --help)"),
        ("sample RUN --weights-from old", "invalid value for '--weights-from': 'old' is not one of 'ema', 'raw'"),
        ("evaluate RUN --seed", "option '--seed' requires an argument"),
        ("sample RUN --sampler dimm", "unknown sampler 'dimm': did you mean 'ddim'?"),
        ("sample RUN --sampler DDIM", "unknown sampler 'DDIM': did you mean 'ddim'?"),
        ("sample RUN --grid trailin", "unknown grid 'trailin': did you mean 'trailing'?"),
    ],
)
def test_what_was_typed_wrong_is_told_in_one_line(kakusan, arguments, sentence):
    assert kakusan(*arguments.split()).check_refused().startswith(sentence)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (errors.KakusanError("steps must be\nat least 1"), 2, "steps must be at least 1"),
        (OSError(28, "No space left on device", "file.png"), 2, "file.png: No space left on device"),
        (MemoryError(), 2, "there is not enough memory"),
        (KeyError("loss"), 1, "this is a bug of kakusan, not a mistake of yours: KeyError: 'loss'"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_what_goes_wrong_inside_is_told_in_one_line_and_with_debug_by_a_traceback(
    kakusan, monkeypatch, error, status, sentence, debug
):
    def fail(path):
        raise error

    monkeypatch.setattr(Run, "open", fail)
    answer = kakusan("sample", "RUN", *debug)
    *before, last = answer.err.splitlines()
    assert answer.status == status
    assert last.startswith(f"kakusan: {sentence}")
    assert ("Traceback" in answer.err) == bool(debug and not isinstance(error, KeyboardInterrupt))
    assert bool(before) == ("Traceback" in answer.err)


def test_what_an_import_raises_that_was_interrupted_half_way_is_no_bug(kakusan, monkeypatch):
    def fail(path):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise AttributeError("module 'numpy._core' has no attribute '_multiarray_umath'")

    monkeypatch.setattr(Run, "open", fail)
    answer = kakusan("sample", "RUN")
    assert (answer.status, answer.err) == (130, "kakusan: interrupted\n")


def test_a_real_process_returns_the_status():
    process = python("-m", "kakusan", "trian")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.count("\n") == 1


def test_a_reader_who_has_seen_enough_is_no_error():
    with subprocess.Popen(
        [sys.executable, "-m", "kakusan", "train", "digits", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_script_is_the_module():
    assert front.main(["--version"]) == 0


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)])
def test_where_nobody_listens_work_goes_on(tmp_path, closed):
    """As in a process that was started without standard output or error, or whose reader has gone."""
    command = [sys.executable, "-m", "kakusan", "train", "digits", "--steps=2", "--run=mine", *TINY]
    done = subprocess.run(command, cwd=tmp_path, preexec_fn=lambda: [os.close(number) for number in closed])
    assert done.returncode == 0
    assert (tmp_path / "mine" / "checkpoints").exists()


def test_a_reader_that_has_seen_enough_ends_no_training(tmp_path):
    command = [sys.executable, "-m", "kakusan", "train", "digits", "--steps=30", "--run=mine", *TINY]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        process.stderr.readline()
        process.stderr.close()
        assert process.wait(timeout=60) == 0
    assert (tmp_path / "mine" / "checkpoints").exists()
