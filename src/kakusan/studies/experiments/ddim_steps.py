"""What DDIM loses with fewer steps, and what it saves: exercise 4.2."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from torch import Tensor

from kakusan import api, pictures, sampling
from kakusan.evaluation.likeness import Likeness
from kakusan.model import Model
from kakusan.results import Value
from kakusan.studies.workshop import Workshop, seconds_an_image, trial_of
from kakusan.trials import Experiment, Part, Sentence, Trial

STEPS = (10, 20, 50, 100)
_WHOLE = 1000  # steps of the walk that all others are compared with
_IMAGES = 100  # whose noise is the same in every walk
_SEED = 1


class _Likeness(BaseModel):
    apart: Value
    seconds: float
    protocol: dict[str, Any]


def ddim_steps(shop: Workshop) -> Experiment:
    """Draws from one model with few steps and with many, and compares the very same pictures."""
    # A chain of fewer steps cannot be walked so: that is known before anything is trained.
    sampling.plan(shop.untrained, n=1, settings=sampling.settings(shop.settings.sampling, sampler="ddim", steps=_WHOLE))
    model = shop.load(shop.trained("model"))
    whole = _Walk(shop, model, _WHOLE)
    trials, rows = [], {}
    for steps in STEPS:
        judged = shop.judged(f"ddim-{steps}", model, sampler="ddim", steps=steps)
        likeness = whole.compare(steps)
        more = {"nfe": Value(value=steps), "seconds": seconds_an_image(judged), "apart": likeness.apart}
        tried = trial_of(f"DDIM {steps}", judged, **more)
        trials.append(tried.model_copy(update={"protocol": {**tried.protocol, "apart": likeness.protocol}}))
        rows[f"DDIM {steps}"] = shop.pictures(model, sampler="ddim", steps=steps)
    rows[f"DDIM {_WHOLE}"] = shop.pictures(model, sampler="ddim", steps=_WHOLE)
    values = {"nfe": Value(value=_WHOLE), "seconds": Value(value=whole.seconds_an_image)}
    trials.append(Trial(name=f"DDIM {_WHOLE}", values=values, protocol={"apart": likeness.protocol}))
    if shop.budget_name == "full":
        judged = shop.judged("ddpm-1000", model, sampler="ddpm", steps=_WHOLE)
        more = {"nfe": Value(value=_WHOLE), "seconds": seconds_an_image(judged)}
        trials.append(trial_of(f"DDPM {_WHOLE}", judged, **more))
    first, second = finding(trials)
    part = Part(
        "compared", second, tuple(trials), charts=("distance", "apart"), across="nfe", growing=True, pictures=rows
    )
    return shop.experiment((first, second), part)


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

    def __init__(self, shop: Workshop, model: Model, steps: int) -> None:
        self._shop, self._model, self._steps = shop, model, steps
        self._images: Tensor | None = None
        self._seconds = 0.0

    def compare(self, steps: int) -> _Likeness:
        """Returns how far pictures of fewer steps look from these, from the same noise."""

        def find() -> _Likeness:
            whole = self._whole()
            likeness = Likeness(self._shop.real.judge, self._shop.device)
            few, _ = self._draw(steps)
            protocol = {
                "n": _IMAGES,
                "features": likeness.name,
                "sampler": "ddim",
                "from_steps": self._steps,
                "seed": _SEED,
                "weights_hash": self._model.weights_hash,
            }
            return _Likeness(apart=likeness(few, whole), seconds=self._seconds, protocol=protocol)

        found = self._shop.found(f"apart-{steps}", _Likeness, find, self._shop.of(self._model))
        self._seconds = found.seconds
        return found

    @property
    def seconds_an_image(self) -> float:
        """How long these took, an image."""
        return self._seconds / _IMAGES

    def _whole(self) -> Tensor:
        if self._images is None:
            self._images, self._seconds = self._draw(self._steps)
        return self._images

    def _draw(self, steps: int) -> tuple[Tensor, float]:
        started = time.perf_counter()
        images = api.sample(self._model, n=_IMAGES, sampler="ddim", steps=steps, seed=_SEED, show=self._shop.show)
        return pictures.to_uint8(images).cpu(), time.perf_counter() - started
