"""Ctrl-C and a polite kill as a wish: the step in hand is finished and saved. A second one stops at once."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_RELAY_SECONDS = 5.0


class Wish(threading.Event):
    """Set once somebody wishes for an end.

    Attributes:
        terminate: Whether of the process, and not only of what it is doing: SIGTERM, or SIGHUP of a terminal that was
            closed, where Ctrl-C is SIGINT.
    """

    terminate = False


@contextmanager
def stop_on_interrupt() -> Iterator[Wish]:
    """Yields what is set by Ctrl-C or a polite kill while the block runs.

    A launcher of several processes hands on what they got already themselves: what follows at once is the same wish.
    """
    stop = Wish()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may take signals
        yield stop
        return

    patience = _RELAY_SECONDS if "TORCHELASTIC_RUN_ID" in os.environ else 0.0
    wished = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal wished
        stop.terminate |= number != signal.SIGINT
        if not stop.is_set():
            wished = time.monotonic()
            stop.set()
        elif time.monotonic() - wished >= patience:
            raise KeyboardInterrupt

    wishes = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if _hangs_up() else []))
    before = {number: signal.signal(number, handle) for number in wishes}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hangs_up() -> bool:
    """Whether a closed terminal ends this process, which ``nohup`` forbids it, and Windows does not know."""
    return hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
