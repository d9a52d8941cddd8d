"""What an experiment tried, and what came of it: rows of a table, and the sentences that are drawn from them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from pydantic import Field
from torch import Tensor

from kakusan.proportions import student
from kakusan.results import Record, Value, shared
from kakusan.results.quantities import SHARES


class Trial(Record):
    """One thing that was tried.

    Attributes:
        name: What: ``cosine``, ``DDIM 10``.
        values: What was measured, by quantity.
        protocol: How; empty where nothing was that needs to be told.
    """

    name: str
    values: dict[str, Value]
    protocol: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Sentence:
    """A sentence of the catalogue, with what is put into it; values that are sentences are said first.

    Attributes:
        key: Which one.
        values: By name.
    """

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sheet:
    """A contact sheet: pictures of what was varied along two axes.

    Attributes:
        axes: What goes down, and what goes across; empty where nothing does.
        rows, columns: The values on them, as text.
        pictures: Those of every row, and of every column in it, values in [−1, 1], shape (n, C, H, W).
        title: What all of it shares that other sheets do not.
    """

    axes: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    pictures: tuple[tuple[Tensor, ...], ...]
    title: str = ""


@dataclass(frozen=True, eq=False)
class Part:
    """What belongs together of an experiment.

    Attributes:
        name: By which its heading and caption are known.
        finding: What it shows.
        trials: Its rows.
        charts: Quantities that are drawn, a panel each.
        across: The quantity that they are drawn against; empty where trials only have names.
        growing: Whether that grows by factors.
        pictures: A row of pictures a trial, values in [−1, 1], (n, C, H, W), by its name.
        sheets: Contact sheets.
        boxes: A diagram: the name of each box in the catalogue, and what stands below it.
    """

    name: str
    finding: Sentence
    trials: tuple[Trial, ...] = ()
    charts: tuple[str, ...] = ()
    across: str = ""
    growing: bool = False
    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    sheets: tuple[Sheet, ...] = ()
    boxes: tuple[tuple[str, str], ...] = ()

    def values(self, name: str) -> list[Value]:
        """Returns a quantity of all trials that have it."""
        return [trial.values[name] for trial in self.trials if name in trial.values]

    @property
    def quantities(self) -> list[str]:
        """What was measured of any trial, in order."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.values))


@dataclass(frozen=True, eq=False)
class Experiment:
    """A study that is done.

    Attributes:
        study: Which one.
        source: The preset or the file that it was done on.
        budget: ``quick`` or ``full``; ``grid`` of models that were there already.
        finding: What was found, in two sentences.
        parts: What it rests on.
        notes: What makes it less than it seems, sentences of the catalogue.
        remarks: The same, as whoever measured said it.
        seconds: Time that it took, all runs of it together.
        machine: What times were measured on.
    """

    study: str
    source: str
    budget: str
    finding: tuple[Sentence, Sentence]
    parts: tuple[Part, ...]
    notes: tuple[Sentence, ...] = ()
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0
    machine: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Returns all but the pictures as plain values, for JSON."""
        return {
            "study": self.study,
            "source": self.source,
            "budget": self.budget,
            "seconds": self.seconds,
            "machine": self.machine,
            "remarks": list(self.remarks),
            "parts": {part.name: [trial.model_dump() for trial in part.trials] for part in self.parts},
        }


def as_csv(experiment: Experiment) -> str:
    """Returns every number of an experiment, a line each, for a spreadsheet."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("part", "trial", "quantity", "value", "low", "high", "real", "protocol"))
    for part in experiment.parts:
        for trial in part.trials:
            protocol = json.dumps(trial.protocol) if trial.protocol else ""
            for name, it in trial.values.items():
                interval = it.interval or ("", "")
                rows.writerow((part.name, trial.name, name, it.value, *interval, _or_empty(it.real), protocol))
    return text.getvalue()


def averaged(trials: Sequence[Trial]) -> Trial:
    """Returns what several seeds of one trial measured together: means, with their confidence intervals of 95 %."""
    first, *others = trials
    if not others:
        return first
    common = [name for name in first.values if all(name in trial.values for trial in others)]
    values = {name: _together(name, [trial.values[name] for trial in trials]) for name in common}
    alike = shared([trial.protocol for trial in trials])
    return Trial(name=first.name, values=values, protocol={**alike, "seeds": len(trials)} if alike else {})


def _together(name: str, values: Sequence[Value]) -> Value:
    middle, count = mean(it.value for it in values), len(values)
    between = student(count) * stdev(it.value for it in values) / math.sqrt(count)
    # Trainings that happen to agree are no surer than what was measured of each.
    within = math.hypot(*((it.interval[1] - it.interval[0]) / 2 for it in values if it.interval is not None)) / count
    half, most = max(between, within), 1.0 if name in SHARES else math.inf
    reals = [it.real for it in values if it.real is not None]
    return Value(
        value=middle,
        interval=(max(0.0, middle - half), min(most, middle + half)),
        real=mean(reals) if len(reals) == count else None,
    )


def _or_empty(value: float | None) -> float | str:
    return "" if value is None else value
