"""Which noise schedule learns best from the same images in the same time: exercise 4.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from kakusan.studies.workshop import Workshop, train_seconds, trial_of
from kakusan.trials import Experiment, Part, Sentence, Trial, averaged

SCHEDULES = ("linear", "cosine", "quadratic")


def schedules(shop: Workshop) -> Experiment:
    """Trains the same network under three schedules, and judges what each draws."""
    trials: list[Trial] = []
    pictures: dict[str, Tensor] = {}
    for name in SCHEDULES:
        tried = []
        for seed in shop.seeds:
            run = shop.trained(name, {"schedule.kind": name}, seed)
            model = shop.load(run)
            judged = shop.judged(f"{name}-{seed}", model)
            tried.append(trial_of(name, judged, train_seconds=train_seconds(run)))
            pictures.setdefault(name, shop.pictures(model))
        trials.append(averaged(tried))
    first, second = finding(trials)
    return shop.experiment(
        (first, second), Part("compared", second, tuple(trials), pictures=pictures), notes=shop.alone
    )


def finding(trials: Sequence[Trial]) -> tuple[Sentence, Sentence]:
    """Says which schedule comes nearest to real images, if doubt allows, and whether time or score tell them apart."""
    best, *others = sorted(trials, key=lambda trial: trial.values["distance"].value)
    apart = [other for other in others if best.values["distance"].beyond(other.values["distance"])]
    near = [other for other in others if other not in apart]
    told: dict[str, Any] = {
        "best": Sentence(f"trial.{best.name}"),
        "distance": best.values["distance"].value,
    }
    for place, named in (("other", near[0] if near else others[0]), ("last", apart[-1] if apart else others[-1])):
        told |= {place: Sentence(f"trial.{named.name}"), f"{place}s": named.values["distance"].value}
    key = "best" if len(apart) == len(others) else "leads" if apart else "alike"
    times = [trial.values["train_seconds"].value for trial in trials]
    scores = [trial.values["score"].value for trial in trials]
    spent = {"low": min(times), "high": max(times), "score_low": min(scores), "score_high": max(scores)}
    return Sentence(f"study.schedules.{key}", told), Sentence("study.schedules.cost", spent)
