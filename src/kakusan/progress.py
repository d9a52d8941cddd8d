"""What is going on, told on standard error: sentences, and a bar with what is done, a few numbers and the time left.

Where there is no terminal, the bar becomes plain lines.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_QUIET_SECONDS = 2.0
_LINE_SECONDS = 15.0
_UNHEARD = (OSError, ValueError)  # what telling something ends in, where nobody listens


def say(sentence: str) -> None:
    """Prints a sentence on standard error, beside the bars: standard output belongs to results.

    Where nobody listens any more, a closed pipe or terminal, it is lost, and what it tells of goes on.
    """
    if sys.stderr is not None:  # as in a process that was started without
        with suppress(*_UNHEARD):
            print(sentence, file=sys.stderr, flush=True)


class Bar:
    """A context in which progress is shown; what is over in two seconds shows nothing.

    Args:
        description: What is going on.
        total: Units of work altogether.
        done: Units done before.
        show: False shows nothing at all.
    """

    def __init__(self, description: str, total: int, done: int = 0, show: bool = True) -> None:
        self._description, self._total, self._show = description, total, show and sys.stderr is not None
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._started = self._spoken = time.monotonic()
        self._done_before = done
        self._numbers = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            with suppress(*_UNHEARD):
                self._progress.stop()

    def report(self, done: int, total: int) -> None:
        """Shows that ``done`` units of a ``total`` found only now are done."""
        self._total = total
        self.update(done)

    def update(self, done: int, numbers: str | None = None) -> None:
        """Shows that ``done`` units are done, and beside them ``numbers``, or those given last."""
        self._numbers = self._numbers if numbers is None else numbers
        now = time.monotonic()
        if not self._show or now - self._started < _QUIET_SECONDS:
            return
        if not self._console.is_terminal:
            if now - self._spoken >= _LINE_SECONDS:
                self._spoken = now
                say(f"{self._description}: {done} of {self._total}{self._left(done, now)}  {self._numbers}")
            return
        with suppress(*_UNHEARD):
            self._progress = self._progress or self._start()
            self._progress.update(self._progress.task_ids[0], completed=done, total=self._total, numbers=self._numbers)

    def _left(self, done: int, now: float) -> str:
        """Returns the time that the rest takes at the pace so far; nothing before there is a pace."""
        pace = (done - self._done_before) / (now - self._started)
        return f", {timedelta(seconds=round((self._total - done) / pace))} left" if pace > 0 else ""

    def _start(self) -> Progress:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[numbers]}"), TimeRemainingColumn())
        progress = Progress(TextColumn("{task.description}"), *columns, console=self._console, transient=True)
        progress.add_task(self._description, total=self._total, completed=self._done_before, numbers="")
        progress.start()
        return progress
