"""What DDIM loses with fewer steps, and what it saves: exercise 4.2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel
from torch import Tensor

from kakusan import api, pictures, sampling
from kakusan.evaluation.likeness import Likeness
from kakusan.model import Model
from kakusan.results import Value
from kakusan.studies.timing import Times, in_turn
from kakusan.studies.workshop import Workshop, trial_of
from kakusan.trials import Experiment, Part, Sentence, Trial

STEPS = (10, 20, 50, 100)
_WHOLE = 1000  # steps of the walk that all others are compared with
_IMAGES = 100  # whose noise is the same in every walk
_SEED = 1
_TIMED = 25  # images a round


class _Likeness(BaseModel):
    apart: Value
    protocol: dict[str, Any]


def ddim_steps(shop: Workshop) -> Experiment:
    """Draws from one model with few steps and with many, and compares the very same pictures."""
    # A chain of fewer steps cannot be walked so: that is known before anything is trained.
    sampling.plan(shop.untrained, n=1, settings=sampling.settings(shop.settings.sampling, sampler="ddim", steps=_WHOLE))
    model = shop.load(shop.trained("model"))
    times = shop.found("seconds", Times, lambda: _timed(shop, model), shop.of(model))
    whole = _Walk(shop, model)
    trials, rows = [], {}
    for steps in STEPS:
        judged = shop.judged(f"ddim-{steps}", model, sampler="ddim", steps=steps)
        likeness = whole.compare(steps)
        name = f"DDIM {steps}"
        more = {"nfe": Value(value=steps), "seconds": Value(value=times.seconds[name]), "apart": likeness.apart}
        tried = trial_of(name, judged, **more)
        told = {"apart": likeness.protocol, "seconds": times.protocol}
        trials.append(tried.model_copy(update={"protocol": {**tried.protocol, **told}}))
        rows[name] = shop.pictures(model, sampler="ddim", steps=steps)
    rows[f"DDIM {_WHOLE}"] = shop.pictures(model, sampler="ddim", steps=_WHOLE)
    values = {"nfe": Value(value=_WHOLE), "seconds": Value(value=times.seconds[f"DDIM {_WHOLE}"])}
    trials.append(Trial(name=f"DDIM {_WHOLE}", values=values, protocol={"seconds": times.protocol}))
    if shop.budget_name == "full":
        judged = shop.judged("ddpm-1000", model, sampler="ddpm", steps=_WHOLE)
        more = {"nfe": Value(value=_WHOLE), "seconds": Value(value=times.seconds[f"DDPM {_WHOLE}"])}
        tried = trial_of(f"DDPM {_WHOLE}", judged, **more)
        trials.append(tried.model_copy(update={"protocol": {**tried.protocol, "seconds": times.protocol}}))
    first, second = finding(trials)
    part = Part(
        "compared", second, tuple(trials), charts=("distance", "apart"), across="nfe", growing=True, pictures=rows
    )
    return shop.experiment((first, second), part)


def _timed(shop: Workshop, model: Model) -> Times:
    """Returns how long walks take, an image."""
    walks: dict[str, tuple[str, int]] = {f"DDIM {steps}": ("ddim", steps) for steps in (*STEPS, _WHOLE)}
    if shop.budget_name == "full":
        walks[f"DDPM {_WHOLE}"] = ("ddpm", _WHOLE)
    plans = {
        name: sampling.plan(
            model, n=_TIMED, settings=sampling.settings(model.sampling, sampler=sampler, steps=steps), seed=_SEED
        )
        for name, (sampler, steps) in walks.items()
    }
    return in_turn(plans, model.weights_hash, shop.show)


def finding(trials: Sequence[Trial]) -> tuple[Sentence, Sentence]:
    """Says how few steps score as the best do, within the doubt, and how far their pictures are from those of many."""
    judged = [trial for trial in trials if "apart" in trial.values]
    best = min(judged, key=lambda trial: trial.values["distance"].value)
    enough = next(trial for trial in judged if not trial.values["distance"].beyond(best.values["distance"]))
    whole = next(trial for trial in trials if trial.name == f"DDIM {_WHOLE}")
    first = {
        "steps": round(enough.values["nfe"].value),
        "distance": enough.values["distance"].value,
        "most": round(judged[-1].values["nfe"].value),
        "times": whole.values["seconds"].value / enough.values["seconds"].value,
    }
    fewest, most = judged[0], judged[-1]
    second = {
        "few": round(fewest.values["nfe"].value),
        "many": round(most.values["nfe"].value),
        "few_apart": fewest.values["apart"].value,
        "many_apart": most.values["apart"].value,
    }
    # LPIPS has another scale than features, of which two unrelated pictures lie 1 apart.
    key = "lpips" if fewest.protocol["apart"]["features"].startswith("lpips") else "apart"
    return Sentence("study.ddim-steps.enough", first), Sentence(f"study.ddim-steps.{key}", second)


class _Walk:
    """The pictures of a walk of many steps, drawn once and only if they are needed."""

    def __init__(self, shop: Workshop, model: Model) -> None:
        self._shop, self._model = shop, model

    def compare(self, steps: int) -> _Likeness:
        """Returns how far pictures of fewer steps look from these, from the same noise."""

        def find() -> _Likeness:
            protocol = {
                "n": _IMAGES,
                "features": self._likeness.name,
                "sampler": "ddim",
                "from_steps": _WHOLE,
                "seed": _SEED,
                "weights_hash": self._model.weights_hash,
            }
            return _Likeness(apart=self._likeness(self._draw(steps), self._whole), protocol=protocol)

        def still(found: _Likeness) -> bool:
            return self._shop.of(self._model)(found) and found.protocol.get("features") == self._likeness.name

        return self._shop.found(f"apart-{steps}", _Likeness, find, still)

    @cached_property
    def _likeness(self) -> Likeness:
        return Likeness(self._shop.real.judge, self._shop.device)

    @cached_property
    def _whole(self) -> Tensor:
        return self._draw(_WHOLE)

    def _draw(self, steps: int) -> Tensor:
        images = api.sample(self._model, n=_IMAGES, sampler="ddim", steps=steps, seed=_SEED, show=self._shop.show)
        return pictures.to_uint8(images).cpu()
