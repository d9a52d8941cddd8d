"""Runs side by side: in what they differ, how far they came, and what was measured of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kakusan import config
from kakusan.errors import KakusanError, some
from kakusan.files import atomic_write
from kakusan.reporting.comparison import render
from kakusan.reporting.language import language, usual
from kakusan.results import Comparison, Side, best_judgement, differing, judgements_in, measurements_in
from kakusan.runs import Run

# What a protocol says of a run itself: two runs differ in it as a matter of course.
_OWN = {"weights", "weights_hash", "images_seen", "schedule", "parametrization"}
# What a configuration says of where a run was trained, and how its books were kept.
_ASIDE = (
    "training.device",
    "training.compile",
    "training.log_every",
    "training.tracker",
    "training.keep",
    "evaluation.",
)


def compare(runs: Sequence[Run]) -> Comparison:
    """Returns runs side by side.

    Args:
        runs: Two or more.

    Raises:
        KakusanError: There are fewer, one is named twice, or a configuration cannot be read.
    """
    paths = [run.path.resolve() for run in runs]
    if len(paths) < 2:
        raise KakusanError("a comparison needs two runs at least (kakusan compare RUN RUN)")
    if twice := [run for run, path in zip(runs, paths, strict=True) if paths.count(path) > 1]:
        raise KakusanError(f"{twice[0].path} is named twice (name each run once)")
    fields = [_fields(run) for run in runs]
    apart = [
        name
        for name in dict.fromkeys(name for found in fields for name in found)
        if _several(found.get(name) for found in fields)
    ]
    sides = [_side(run, {name: found.get(name) for name in apart}) for run, found in zip(runs, fields, strict=True)]
    unlike = _unlike(sides)
    return Comparison(sides=tuple(sides), notes=tuple(_notes(unlike)), unlike=tuple(unlike))


def write_page(path: Path, runs: Sequence[Run], found: Comparison, lang: str | None = None) -> None:
    """Writes the page of runs side by side.

    Args:
        path: Where to; what is there is replaced.
        runs: Two or more.
        found: What :func:`compare` found of them.
        lang: Its language; None is the system's.

    Raises:
        KakusanError: There is no such language, or the page cannot be written.
    """
    books = {str(run.path): run.metrics() for run in runs}
    atomic_write(path, render(language(lang or usual()), found, books))


def _side(run: Run, differs: Mapping[str, Any]) -> Side:
    lines, settings = run.metrics(), config.load(run.config_path)
    told = [line for line in lines if "loss" in line]
    held = [line["held_out_loss"] for line in lines if math.isfinite(line.get("held_out_loss", math.nan))]
    return Side(
        run=str(run.path),
        differs=dict(differs),
        images=told[-1]["images"] if told else 0,
        loss=told[-1]["loss"] if told else None,
        held_out_loss=held[-1] if held else None,
        judgement=best_judgement(judgements_in(lines), None, settings.sampling),
        measurements=measurements_in(lines),
    )


def _fields(run: Run) -> dict[str, Any]:
    """Returns the fields of a run's configuration that tell it from others."""
    fields = config.flat(config.load(run.config_path))
    return {name: value for name, value in fields.items() if not name.startswith(_ASIDE)}


def _unlike(sides: Sequence[Side]) -> dict[str, str]:
    """Returns the numbers of samples that are of earlier weights than a run's last, or were not measured alike, and
    why: what cannot be compared without a word."""
    found = {}
    for name in dict.fromkeys(name for side in sides for name in side.protocols):
        there = {side.run: side.protocols[name] for side in sides if name in side.protocols}
        first, *others = there.values()
        apart = dict.fromkeys(it for other in others for it in differing(first, other) if it not in _OWN)
        why = [f"{it} {', '.join(str(protocol.get(it)) for protocol in there.values())}" for it in apart]
        for side in sides:
            seen = side.protocols.get(name, {}).get("images_seen", side.images)
            if seen != side.images:
                why.append(f"in {side.run} after {seen:,} of {side.images:,} images")
        if why:
            found[name] = "; ".join(why)
    return found


def _notes(unlike: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence for what is unlike in one way."""
    for why in dict.fromkeys(unlike.values()):
        names = [name for name in unlike if unlike[name] == why]
        were = "was" if len(names) == 1 else "were"
        yield f"{some(names, len(names))} {were} not measured alike: {why}"


def _several(values: Any) -> bool:
    """Whether there are different ones among them."""
    first, *others = values
    return any(other != first for other in others)
