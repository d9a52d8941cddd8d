"""The page of runs side by side: their numbers in a table, and their curves in one chart each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from kakusan.reporting.curves import Curve, chart
from kakusan.reporting.experiment import table
from kakusan.reporting.html import Figure, Section, fragment, page
from kakusan.reporting.language import Language
from kakusan.reporting.quantities import better, title_of
from kakusan.reporting.sections.measured import along
from kakusan.results import Comparison, Side, Value
from kakusan.trials import Part, Sentence, Trial

_OF_LOSSES = ("data.", "schedule.", "parametrization.", "objective.")  # losses under others are other quantities
_LOSSES = ("held_out_loss", "epoch_loss", "loss")


def render(say: Language, comparison: Comparison, books: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Returns the page as the text of one HTML file.

    Args:
        say: The language.
        comparison: The runs.
        books: The lines of ``metrics.jsonl`` of every run.

    Raises:
        KakusanError: The page would be larger than 4 MB.
    """
    title = _title(say, comparison)
    trials = tuple(Trial(name=side.run, values=_values(side)) for side in comparison.sides)
    numbers = Figure(
        title=title,
        content=_differences(say, comparison) + table(say, Part("numbers", Sentence(""), trials)),
        caption=say("compare.caption"),
        alt=say("study.alt", title=title),
    )
    overlays = Figure(
        title=say("compare.along"),
        content=_overlays(say, books),
        caption=say("compare.along_caption"),
        alt=say("compare.along"),
    )
    answer = fragment("answer.html.jinja", say, numbers=[], notes=comparison.notes, paragraphs=[], protocol={})
    sections = [Section("numbers", say("compare.numbers"), numbers)]
    if overlays.content:
        sections.append(Section("along", say("compare.curves"), overlays))
    return page(say, name=say("compare.name"), title=title, answer=answer, sections=sections)


def _title(say: Language, comparison: Comparison) -> str:
    """Says which run is best by the first quantity that all have, unless doubt forbids it."""
    values = [_values(side) for side in comparison.sides]
    unlike = {*comparison.unlike, "images", "loss"}
    if any(name.startswith(_OF_LOSSES) for name in comparison.sides[0].differs):
        unlike.add("held_out_loss")
    shared = [name for name in values[0] if name not in unlike and all(name in it for it in values)]
    if not shared:
        return say("compare.none", runs=len(values))
    name = shared[0]
    best = better(name)(range(len(values)), key=lambda i: values[i][name].value)
    others = [it[name] for i, it in enumerate(values) if i != best]
    certain = all(values[best][name].beyond(other) for other in others)
    told = {"run": comparison.sides[best].run, "quantity": title_of(say, name), "value": values[best][name].value}
    return say("compare.best" if certain else "compare.alike", **told)


def _values(side: Side) -> dict[str, Value]:
    """Returns what is known of a run, the most telling first."""
    found = {} if side.judgement is None else dict(side.judgement.values)
    found |= {name: it.as_value for name, it in side.measurements.items()}
    losses = {"held_out_loss": side.held_out_loss, "loss": side.loss}
    found |= {name: Value(value=value) for name, value in losses.items() if value is not None}
    return {**found, "images": Value(value=side.images)}


def _differences(say: Language, comparison: Comparison) -> Markup:
    """Returns a table of the fields in which the runs differ."""
    fields = list(comparison.sides[0].differs)
    if not fields:
        return Markup("")
    rows = [(side.run, [(str(side.differs[name]), "") for name in fields]) for side in comparison.sides]
    return fragment("trials.html.jinja", say, titles=fields, rows=rows, real=[])


def _overlays(say: Language, books: Mapping[str, Sequence[Mapping[str, Any]]]) -> Markup:
    """Returns a chart of every quantity that at least one run has a curve of."""
    curves: dict[str, list[Curve]] = {}
    for run, lines in books.items():
        for name in _LOSSES:
            points = [(line["images"], line[name]) for line in lines if math.isfinite(line.get(name, math.nan))]
            if len(points) > 1:
                x, y = zip(*points, strict=True)
                curves.setdefault(name, []).append(Curve(run, x, [Value(value=value) for value in y]))
        for name, told in along(lines).items():
            if len(told) > 1:
                curves.setdefault(name, []).append(Curve(run, [at for at, _ in told], [it for _, it in told]))
    # The mean of many lines says it more clearly than the lines, where every run has one.
    if len(curves.get("epoch_loss", ())) == len(curves.get("loss", ())):
        curves.pop("loss", None)
    return Markup("").join(
        chart(f"along-{name}", lines, x=say("loss.images"), y=title_of(say, name)) for name, lines in curves.items()
    )
