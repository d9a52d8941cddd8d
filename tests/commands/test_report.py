"""The report of a run, from the command line: where it goes, in which language, and while the run goes on."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from kakusan.runs import Run
from tests.commands.conftest import TINY


@pytest.fixture
def mine(run, tmp_path):
    return shutil.copytree(run, tmp_path / "mine")


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")


def test_it_goes_into_the_run_and_an_earlier_one_is_replaced(kakusan, mine):
    (mine / "report.html").write_text("old")
    answer = kakusan("report", mine, "--device=cpu")
    assert (answer.status, answer.out) == (0, f"{mine / 'report.html'}\n")
    assert (mine / "report.html").read_text("utf-8").startswith('<!doctype html>\n<html lang="en">')


def test_it_goes_elsewhere_when_told_and_over_nothing(kakusan, mine, tmp_path):
    assert kakusan("report", mine, "-o", "there/mine.html", "--device=cpu").out == "there/mine.html\n"
    page = (tmp_path / "there" / "mine.html").read_bytes()
    assert not (mine / "report.html").exists()
    refused = kakusan("report", mine, "-o", "there/mine.html", "--lang=ja").check_refused()
    assert refused == "there/mine.html is there already (choose another name, or --overwrite to replace it)"
    assert (tmp_path / "there" / "mine.html").read_bytes() == page
    assert kakusan("report", mine, "-o", "there/mine.html", "--lang=ja", "--overwrite", "--device=cpu").status == 0
    assert b'<html lang="ja">' in (tmp_path / "there" / "mine.html").read_bytes()


def test_json_says_where_and_in_which_language(kakusan, mine, monkeypatch):
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    answer = kakusan("report", mine, "--json", "--device=cpu")
    assert json.loads(answer.out) == {"report": str(mine / "report.html"), "lang": "ja"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("nowhere", "there is no run directory nowhere (train one: "),
        ("mine --lang fr", "unknown language 'fr': known are en, ja"),
        ("mine --device tpu", "unknown device 'tpu'"),
        ("mine -o mine --overwrite", "mine is a directory, not a file (choose another name)"),
    ],
)
def test_what_cannot_be_had_is_refused(kakusan, mine, arguments, sentence):
    assert kakusan("report", *arguments.split()).check_refused().startswith(sentence)
    assert not (mine / "report.html").exists()


@pytest.mark.slow
def test_a_run_is_told_while_another_process_trains_it_and_after_that_was_killed(tmp_path):
    path = tmp_path / "run"
    command = [sys.executable, "-m", "kakusan"]
    environment = {**os.environ, "LC_ALL": "ja_JP.UTF-8", "OMP_NUM_THREADS": "1"}

    def report():
        told = subprocess.run(
            [*command, "report", str(path), "--device=cpu"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (told.returncode, told.stdout) == (0, f"{path / 'report.html'}\n"), told.stderr
        return (path / "report.html").read_text("utf-8")

    length = ["--steps=1000000", "--training.checkpoint_every=80", "--training.log_every=1"]
    train = [*command, "train", "digits", "--run", str(path), *length, *TINY]
    with subprocess.Popen(train, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as training:
        try:
            while training.poll() is None and not ((path / "config.yaml").exists() and Run(path).checkpoints()):
                time.sleep(0.1)
            while_it_goes_on = report()
            assert training.poll() is None
        finally:
            training.kill()
    for page in (while_it_goes_on, report()):
        assert "延べ8,000,000枚のうち" in page
        assert 'id="samples"' in page
