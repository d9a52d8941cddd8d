"""A study from its name to its page: done, or gone on with where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kakusan import config
from kakusan.config.names import STUDIES, Study, load, lookup
from kakusan.errors import KakusanError, unknown
from kakusan.files import atomic_write, claimed
from kakusan.reporting.experiment import render
from kakusan.reporting.language import language
from kakusan.studies.gallery import Gallery
from kakusan.studies.grid import Grid
from kakusan.studies.place import PAGE, TABLE, Place
from kakusan.studies.workshop import BUDGETS, Workshop
from kakusan.trials import Experiment, as_csv


def conduct(
    name: str,
    *,
    preset: str | None = None,
    budget: str | None = None,
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    lang: str = "en",
    show: bool = True,
) -> tuple[Experiment, Path]:
    """Does a study and writes ``report.html`` and ``table.csv``; returns what was found, and where it lies.

    Args:
        name: One of :data:`kakusan.config.names.STUDIES`.
        preset: What it is done on: a preset, or the path of a YAML file; a study of models that are there already, on
            the file of a :class:`kakusan.studies.grid.Grid`. By default the study's own, as is
        budget: ``quick`` or ``full``.
        path: Where; new or empty, or that of the same study, which goes on. By default ``runs/study-NAME-PRESET``.
        overrides: Fields of the preset to change.
        lang: Language of the page.
        show: Whether to show progress.

    Raises:
        KakusanError: Something asked for cannot be had, or another study lies there.
        KeyboardInterrupt: Ctrl-C ended it; what is done stays done.
    """
    study, say = of_name(name), language(lang)
    path = path or place_of(name, preset, budget)
    of_models = study.preset is None
    opened = _gallery(name, preset, budget, overrides) if of_models else _workshop(name, preset, budget, overrides)
    with claimed(path), opened(path, show) as place:
        experiment: Experiment = load(study)(place)
        atomic_write(path / TABLE, as_csv(experiment))
        atomic_write(path / PAGE, render(say, experiment))
    return experiment, path


def of_name(name: str) -> Study:
    """Returns a study by its name.

    Raises:
        KakusanError: There is none; the nearest one is suggested.
    """
    lookup("study", name)
    return STUDIES[name]


def place_of(name: str, preset: str | None = None, budget: str | None = None) -> Path:
    """Returns where a study lies unless it is told otherwise; of its own preset or budget, these are not named."""
    study = of_name(name)
    more = "" if budget in (None, study.budget) else f"-{budget}"
    return Path("runs") / f"study-{name}-{Path(preset or study.preset or '').stem}{more}"


def _workshop(
    name: str, preset: str | None, budget: str | None, overrides: Mapping[str, Any] | None
) -> Callable[[Path, bool], Place]:
    study = STUDIES[name]
    source, length = preset or study.preset, budget or study.budget
    assert source is not None, "it trains"
    if length not in BUDGETS:
        raise unknown("budget", length, BUDGETS)
    settings = config.load(source, overrides or {})
    return lambda path, show: Workshop(path, name, source, length, settings, show)


def _gallery(
    name: str, file: str | None, budget: str | None, overrides: Mapping[str, Any] | None
) -> Callable[[Path, bool], Place]:
    if file is None:
        raise KakusanError(f"the study {name} is done on a file of prompts (kakusan study {name} FILE.yaml)")
    if budget is not None or overrides:
        raise KakusanError(
            f"the study {name} trains nothing: its file says all (leave out the budget and other fields)"
        )
    grid = Grid.read(file)
    return lambda path, show: Gallery(path, name, file, grid, show)
