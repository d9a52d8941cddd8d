"""Threads that wait by spinning stall a training on a busy machine."""

import os

from kakusan.commands import main


def test_waiting_threads_sleep_unless_the_environment_says_otherwise(monkeypatch, capsys):
    monkeypatch.setenv("OMP_WAIT_POLICY", "unset")  # put back afterwards, whatever it was
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert main(["--version"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert main(["--version"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
