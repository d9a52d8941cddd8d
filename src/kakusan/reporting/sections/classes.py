"""Class by class: whether every class is drawn, as what it was asked for, and how much of its variety."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kakusan.proportions import as_large
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language
from kakusan.results import OfClass

_MOST = 20


def section(say: Language, classes: Sequence[OfClass]) -> Section | None:
    """Shows what a judgement says of every class, of at most twenty those that are covered least."""
    known = [it for it in classes if it.coverage is not None]
    if not known:
        return None
    shown = sorted(known, key=lambda it: it.coverage or 0.0)[:_MOST] if len(known) > _MOST else known
    title = finding(say, known)
    table = fragment(
        "trials.html.jinja",
        say,
        titles=[say(f"classes.{name}") for name in ("n", "share", "accuracy", "coverage", "distance")],
        rows=[(it.name, [(say.count(it.n), ""), *_cells(say, it)]) for it in shown],
        real=[],
    )
    figure = Figure(title=title, content=table, caption=say("classes.caption"), alt=say("study.alt", title=title))
    return Section("classes", say("classes.heading"), figure)


def finding(say: Language, classes: Sequence[OfClass]) -> str:
    """Says which class is covered least beside what other real images cover of it; none where chance explains it."""
    counted = [it for it in classes if it.real_n]  # of so many coverage is a share
    if not counted:
        return say("classes.uncounted")
    behind = [it for it in counted if not as_large(it.coverage or 0.0, it.real_n, it.real_coverage or 0.0, it.real_n)]
    if not behind:
        return say("classes.none")
    worst = min(behind, key=lambda it: (it.coverage or 0.0) - (it.real_coverage or 0.0))
    return say("classes.worst", name=worst.name, coverage=worst.coverage, real=worst.real_coverage)


def _cells(say: Language, of: OfClass) -> list[tuple[str, str]]:
    def real(value: float | None, write: Callable[[float], str]) -> str:
        return "" if value is None else say("study.real_beside", value=write(value))

    distance = "" if of.frechet_distance is None else say.number(of.frechet_distance)
    return [
        (say.percent(of.share), real(of.real_share, say.percent)),
        ("" if of.accuracy is None else say.percent(of.accuracy), ""),
        (say.percent(of.coverage), real(of.real_coverage, say.percent)),
        (distance, real(of.noise_floor, say.number) if distance else ""),
    ]
