"""The first Ctrl-C is a wish, the second an order."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from kakusan.training import interrupt
from kakusan.training.interrupt import stop_on_interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_remembered_and_the_second_raises(number):
    before = signal.getsignal(number)
    with stop_on_interrupt() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.is_set()
        assert stop.terminate == (number == signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_what_a_launcher_hands_on_is_the_same_wish(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with stop_on_interrupt() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
        monkeypatch.setattr(interrupt, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 6))
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_outside_the_main_thread_signals_are_left_alone():
    found = []

    def train():
        with stop_on_interrupt() as stop:
            found.append((stop.is_set(), signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found == [(False, before)]


def test_a_terminal_that_is_closed_is_a_polite_kill_unless_that_is_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stop_on_interrupt() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.is_set()
            assert stop.terminate
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with stop_on_interrupt() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)
