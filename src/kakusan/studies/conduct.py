"""A study from its name to its page: done, or gone on with where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kakusan import config
from kakusan.config.names import STUDIES, Study, load, lookup
from kakusan.errors import unknown
from kakusan.files import atomic_write, claimed
from kakusan.reporting.experiment import render
from kakusan.reporting.language import language
from kakusan.studies.workshop import BUDGETS, PAGE, TABLE, Workshop
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
        preset: What it is done on: a preset, or the path of a YAML file. By default the study's own, as is
        budget: ``quick`` or ``full``.
        path: Where; new or empty, or that of the same study, which goes on. By default ``runs/study-NAME-PRESET``.
        overrides: Fields of the preset to change.
        lang: Language of the page.
        show: Whether to show progress.

    Raises:
        KakusanError: Something asked for cannot be had, or another study lies there.
        KeyboardInterrupt: Ctrl-C ended it; what is done stays done.
    """
    study = of_name(name)
    preset, budget = preset or study.preset, budget or study.budget
    if budget not in BUDGETS:
        raise unknown("budget", budget, BUDGETS)
    say = language(lang)
    settings = config.load(preset, overrides or {})
    path = path or place_of(name, preset, budget)
    with claimed(path), Workshop(path, name, preset, budget, settings, show) as shop:
        experiment: Experiment = load(study)(shop)
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
    return Path("runs") / f"study-{name}-{Path(preset or study.preset).stem}{more}"
