"""Which words and settings draw what is meant, by models that are there already: exercise 4.5."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kakusan.adapters import weighted
from kakusan.evaluation.average import average
from kakusan.pictures import from_uint8
from kakusan.reporting import thumbnails
from kakusan.reporting.quantities import better
from kakusan.results import Value
from kakusan.runs import LORA
from kakusan.studies.gallery import Gallery, Wall
from kakusan.trials import Experiment, Part, Sentence, Sheet, Trial

_CHARTED = ("guidance", "steps")  # axes of numbers, each a section of its own
_SHOWN = 4  # pictures where a row and a column meet
_MOST = 600  # pictures on all sheets together
_PIXELS = 800_000  # of all of these: a page that is small enough to be mailed
_SMALLEST, _LARGEST = 32, 256  # pixels of one, either way
_LONG = 90  # letters of a setting within a sentence
_NOTHING = "∅"


@dataclass(frozen=True)
class _Measures:
    """What every picture scores, by the name of its file.

    Attributes:
        verdicts: Whether it shows what was asked for.
        scores: How well it agrees with its prompt.
    """

    verdicts: Mapping[str, bool]
    scores: Mapping[str, float]

    @property
    def names(self) -> list[str]:
        """The quantities that were measured, the surest first."""
        return [name for name, found in (("prompts", self.verdicts), ("clip", self.scores)) if found]

    @property
    def orders(self) -> list[list[str]]:
        """The same, each first once."""
        return [[name, *(it for it in self.names if it != name)] for name in self.names]

    def of(self, name: str, walls: Iterable[Wall], **more: float) -> Trial:
        """Returns a row: what the pictures of several settings score together."""
        files = list(dict.fromkeys(file.name for wall in walls for file in wall.files))  # some hang in two places
        values = {key: Value(value=it) for key, it in more.items()}
        if self.verdicts:
            values["prompts"] = Value.of_share(sum(self.verdicts[file] for file in files) / len(files), len(files))
        if self.scores:
            values["clip"] = _bounded(average(torch.tensor([self.scores[it] for it in files], dtype=torch.float64)))
        return Trial(name=name, values={**values, "n": Value(value=len(files))})


def _bounded(score: Value) -> Value:
    """Returns a CLIP score whose doubt ends where the scores do."""
    if score.interval is None:
        return score
    low, high = score.interval
    return Value(value=score.value, interval=(max(0.0, low), min(100.0, high)))


def prompts(gallery: Gallery) -> Experiment:
    """Draws every picture of a grid, asks a CLIP and the verifier of scenes about each, and names the best settings."""
    grid, walls = gallery.grid, gallery.walls
    measures = _Measures(gallery.verdicts(), gallery.scores())
    varied = [name for name in grid.several if name != "prompts"] or ["prompts"]
    settings = [measures.of(_setting(values), some) for values, some in _gathered(walls, varied)]
    ranked = _ranked(settings, measures.names)
    sheets, left = _sheets(gallery)
    counts = {"prompts": len(grid.prompts), "settings": len(walls) // len(grid.prompts), "n": grid.n}
    drawn = Sentence("study.prompts.drawn", {"pictures": len(walls) * grid.n, **counts})
    findings = [best(settings, names) for names in measures.orders] or [Sentence("study.prompts.unscored")]
    parts = [Part("sheet", drawn, sheets=sheets)]
    if len(varied) > 1 and measures.names:
        parts.append(Part("settings", findings[0], ranked))
    parts += _by_axis(walls, grid.several, measures)
    return gallery.experiment(
        (findings[0], findings[1] if len(findings) > 1 else drawn),
        *parts,
        notes=(Sentence("study.prompts.left", {"left": left}),) if left else (),
    )


def best(trials: Sequence[Trial], names: Sequence[str]) -> Sentence:
    """Says which of several settings scores best by the first of some quantities, as far as doubt allows."""
    first, *others = _ranked(trials, names)
    told = {"best": _short(first), "scored": _scored(first, names[0])}
    if not others:
        return Sentence("study.prompts.one", told)
    behind = [it for it in others if first.values[names[0]].beyond(it.values[names[0]])]
    told |= {"next": _short(others[0]), "nexts": _scored(others[0], names[0])}
    told |= {"last": _short(others[-1]), "lasts": _scored(others[-1], names[0])}
    told |= {"alike": len(others) - len(behind)}
    kind = "level" if not behind else "alike" if told["alike"] else "best"
    return Sentence(f"study.prompts.{kind}", told)


def _short(trial: Trial) -> str:
    """Returns what a row is called, without its middle where that is long: prompts mostly begin alike."""
    name = trial.name
    return name if len(name) <= _LONG else f"{name[: _LONG // 2]} … {name[-_LONG // 2 :]}"


def _scored(trial: Trial, name: str) -> Sentence:
    return Sentence(f"study.prompts.scored_{name}", {"value": trial.values[name].value})


def _ranked(trials: Sequence[Trial], names: Sequence[str]) -> tuple[Trial, ...]:
    """Returns trials from the best to the worst by the first of some quantities, by the next where these are equal."""
    assert all(better(name) is max for name in names), "more of each is better"
    return tuple(sorted(trials, key=lambda it: [it.values[name].value for name in names], reverse=True))


def _by_axis(walls: Sequence[Wall], axes: Sequence[str], measures: _Measures) -> list[Part]:
    """Returns what every value of every axis scores with all others together: numbers in a section of their own, words
    in one for all."""
    if not measures.names:
        return []
    rows = {}
    for name in axes:
        rows[name] = [
            measures.of(_setting(values), some, **(values if name in _CHARTED else {}))
            for values, some in _gathered(walls, [name])
        ]
    first = measures.names[0]
    words = [name for name in axes if name not in _CHARTED]
    parts = []
    if words:
        widest = max(words, key=lambda name: _reach(rows[name], first))
        told = tuple(trial for name in words for trial in rows[name])
        parts.append(Part("words", best(rows[widest], measures.names), told))
    for name in _CHARTED:
        if name in rows:
            told = tuple(sorted(rows[name], key=lambda it: it.values[name].value))
            parts.append(Part(name, best(told, measures.names), told, tuple(measures.names), name, growing=True))
    return parts


def _reach(trials: Sequence[Trial], name: str) -> float:
    """Returns how far the best is ahead of the worst."""
    values = [it.values[name].value for it in trials]
    return max(values) - min(values)


def _gathered(walls: Sequence[Wall], axes: Sequence[str]) -> list[tuple[dict[str, Any], list[Wall]]]:
    """Returns walls that have their values on some axes in common, and these, in the order in which they first come."""
    found: dict[tuple[Any, ...], list[Wall]] = {}
    for wall in walls:
        found.setdefault(tuple(wall.setting.values[name] for name in axes), []).append(wall)
    return [(dict(zip(axes, values, strict=True)), some) for values, some in found.items()]


def _sheets(gallery: Gallery) -> tuple[tuple[Sheet, ...], int]:
    """Returns contact sheets, one for all that is on neither axis together, and how many settings are not on them."""
    grid = gallery.grid
    down, across = grid.sheet
    apart = [name for name in grid.several if name not in (down, across)]
    rows, columns = (grid.axes[name] if name else (None,) for name in (down, across))
    n = min(grid.n, _SHOWN)
    room = max(1, _MOST // (len(columns) * n))  # rows
    side = math.isqrt(_PIXELS // min(_MOST, len(gallery.walls) * n))
    side = min(_LARGEST, max(_SMALLEST, side))
    sheets, left = [], 0
    for values, some in _gathered(gallery.walls, apart):
        fit = rows[:room]
        room -= len(fit)
        left += len(columns) * (len(rows) - len(fit))
        if not fit:
            continue
        at = {(wall.setting.values.get(down), wall.setting.values.get(across)): wall for wall in some}
        sheets.append(
            Sheet(
                axes=(down, across),
                rows=tuple(_value(it) if down else "" for it in fit),
                columns=tuple(_value(it) if across else "" for it in columns),
                pictures=tuple(
                    tuple(thumbnails.shrunk(from_uint8(at[row, it].pictures[:n]), side) for it in columns)
                    for row in fit
                ),
                title=_setting(values),
            )
        )
    return tuple(sheets), left


def _setting(values: Mapping[str, Any]) -> str:
    """Returns values with their axes, as the file names these."""
    return " · ".join(f"{axis} = {_value(value)}" for axis, value in values.items())


def _value(value: Any) -> str:
    """Returns a value of an axis as people read it."""
    match value:
        case float() | int():
            return f"{value:g}"
        case tuple():  # adapters
            return " + ".join(_worn(*weighted(it)) for it in value) or _NOTHING
        case str():
            return value.strip(" ,") or _NOTHING
    return _NOTHING


def _worn(place: str, weight: float) -> str:
    """Returns what an adapter is called: as its directory is, where its file has the name that all have."""
    path = Path(place)
    name = path.parent.name if path.name == LORA else path.name.removesuffix(".safetensors")
    return name if weight == 1 else f"{name}:{weight:g}"
