"""Progress is told on standard error, when there is something to wait for."""

import pytest

from kakusan import progress
from kakusan.progress import Bar, say


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved: ``clock[0] = seconds``."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("terminal")
def test_what_is_soon_over_says_nothing(clock, capsys):
    with Bar("sampling", 10) as bar:
        for done in range(1, 11):
            clock[0] += 0.19
            bar.update(done, "loss 1")
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_is_a_line_now_and_then_with_the_time_left(clock, capsys):
    with Bar("training", 100, done=40) as bar:
        for done in range(41, 101):
            clock[0] += 1
            bar.update(done, "loss 0.5")
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split("  ") for line in err.splitlines()] == [
        [f"training: {done} of 100, 0:00:{100 - done:02} left", "loss 0.5"] for done in (55, 70, 85, 100)
    ]


def test_nothing_is_said_of_the_time_left_before_there_is_a_pace(clock, capsys):
    with Bar("training", 100, done=40) as bar:
        clock[0] = 20
        bar.update(40, "loss 0.5")
    assert capsys.readouterr().err == "training: 40 of 100  loss 0.5\n"


def test_without_a_terminal_a_long_line_stays_one_line(clock, capsys):
    with Bar("training", 100) as bar:
        clock[0] = 20
        bar.update(10, "loss 0.5 " * 20)
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_there_is_a_bar_that_goes_away(clock, capsys):
    with Bar("training", 100) as bar:
        clock[0] = 3
        bar.update(30, "loss 0.5")
        bar.report(60, 120)
    out, err = capsys.readouterr()
    assert out == ""
    assert "training" in err
    assert "60/120" in err.replace(" ", "")
    assert err.endswith("\x1b[2K")  # the line is wiped


@pytest.mark.usefixtures("terminal")
def test_a_bar_goes_away_when_something_breaks(clock, capsys):
    def fail():
        with Bar("training", 100) as bar:
            clock[0] = 3
            bar.update(30)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert capsys.readouterr().err.endswith("\x1b[2K")


def test_nothing_is_shown_where_nothing_is_wanted(clock, capsys):
    with Bar("training", 100, show=False) as bar:
        clock[0] = 100
        bar.update(30)
    assert capsys.readouterr() == ("", "")


def test_sentences_leave_standard_output_to_results(capsys):
    say("拡散 is diffusion")
    assert capsys.readouterr() == ("", "拡散 is diffusion\n")
