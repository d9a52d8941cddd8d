"""How one picture emerges from noise."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kakusan.reporting.correlation import correlation
from kakusan.reporting.film import Frame, film
from kakusan.reporting.html import Figure, Section
from kakusan.reporting.language import Language

_AGREES = 0.9

Moment = tuple[float, Tensor, Tensor]
"""Time, the picture x, and the x_0 predicted there: (C, H, W) each."""


def section(say: Language, walk: Sequence[Moment]) -> Section | None:
    """Shows a walk from noise to data."""
    if not walk:
        return None
    settled = _settled(walk)
    title = say("emergence.steps", steps=len(walk))
    if settled is not None:
        title = say("emergence.settled", time=f"{settled:.2f}", agrees=_AGREES)
    figure = Figure(
        title=title,
        content=film(
            say,
            [Frame(f"t = {time:.2f}", (x.clamp(-1, 1), x0.clamp(-1, 1))) for time, x, x0 in walk],
            [say("emergence.x"), say("emergence.x0")],
        ),
        caption=say("emergence.caption"),
        alt=say("emergence.alt"),
    )
    return Section("emergence", say("emergence.heading"), figure)


def _settled(walk: Sequence[Moment]) -> float | None:
    """Returns from what time on the predicted x_0 stays correlated by 0.9 or more with the last picture."""
    settled, final = None, walk[-1][1]
    for time, _, x0 in reversed(walk):
        if not correlation(x0, final) >= _AGREES:  # a picture of one grey correlates with nothing: NaN
            break
        settled = time
    return settled
