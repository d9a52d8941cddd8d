"""How one picture emerges from noise."""

from __future__ import annotations

from collections.abc import Sequence

from kakusan.reporting.correlation import correlation, holds_from
from kakusan.reporting.film import Frame, film
from kakusan.reporting.html import Figure, Section
from kakusan.reporting.language import Language
from kakusan.reporting.shown import Moment

_AGREES = 0.9


def section(say: Language, walk: Sequence[Moment]) -> Section | None:
    """Shows a walk from noise to data."""
    if not walk:
        return None
    settled = holds_from([correlation(moment.x0, walk[-1].x) >= _AGREES for moment in walk])
    title = say("emergence.steps", steps=len(walk))
    if settled is not None:
        title = say("emergence.settled", time=f"{walk[settled].t:.2f}", agrees=_AGREES)
    figure = Figure(
        title=title,
        content=film(
            say,
            [Frame(f"t = {at.t:.2f}", (at.x.clamp(-1, 1), at.x0.clamp(-1, 1))) for at in walk],
            [say("emergence.x"), say("emergence.x0")],
        ),
        caption=say("emergence.caption"),
        alt=say("emergence.alt"),
    )
    return Section("emergence", say("emergence.heading"), figure)
