"""How much of a distance is the model, and how much the way it is measured: exercise 4.6."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import mean
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from kakusan import api, pictures
from kakusan.evaluation.average import average
from kakusan.evaluation.moments import frechet_distance
from kakusan.model import Model
from kakusan.results import Value
from kakusan.studies.workshop import Workshop, trial_of
from kakusan.trials import Experiment, Part, Sentence, Trial

_MOMENTS = 8  # of the training
_PARTS = (16, 8, 4, 2, 1)  # of the samples, whose distances are compared
_FEW = 8  # parts, of fewer of which nothing is said about how far they are spread
_LARGER = 2  # times the side, of files that come in another size than the data


class _Found(BaseModel):
    trials: tuple[Trial, ...]

    @property
    def protocol(self) -> dict[str, Any]:
        return self.trials[0].protocol


def metrics(shop: Workshop) -> Experiment:
    """Follows distance and score through a training, then measures the same samples by fewer, and resized."""
    run = shop.trained("model", shop.moments(_MOMENTS))
    judged, shown = {}, {}
    for images in (checkpoint.images for checkpoint in shop.checkpoints(run)):
        model = shop.load(run, images)
        judged[images] = shop.judged(f"after-{images}", model)
        shown[f"{images:,}"] = shop.pictures(model)
    along = [trial_of(f"{images:,}", it, images=Value(value=images)) for images, it in judged.items()]
    last = max(judged)
    fewer, resized = _of_samples(shop, shop.load(run, last), {**judged[last].protocol, "splits": 1})
    first, second = finding(along), by_protocol(fewer, resized)
    return shop.experiment(
        (first, second),
        Part("along", first, tuple(along), ("distance", "score", "accuracy"), "images", pictures=shown),
        Part("fewer", _fewer(fewer), tuple(fewer), ("distance",), "n", growing=True),
        Part("resized", _resized(resized), tuple(resized)),
    )


def finding(along: Sequence[Trial]) -> Sentence:
    """Says how the distance fell, if it did beyond doubt, and where it was as good as it became; and the score."""
    first, last = along[0], along[-1]
    best = min(along, key=lambda trial: trial.values["distance"].value)
    settled = next(trial for trial in along if not trial.values["distance"].beyond(best.values["distance"]))
    told = {
        "first": first.values["distance"].value,
        "last": last.values["distance"].value,
        "score_first": first.values["score"].value,
        "score_last": last.values["score"].value,
        "settled": round(settled.values["images"].value),
    }
    moved = any(trial.values["distance"].beyond(best.values["distance"]) for trial in along)
    return Sentence(f"study.metrics.{'moved' if moved else 'alike'}", told)


def by_protocol(fewer: Sequence[Trial], resized: Sequence[Trial]) -> Sentence:
    """Says how far the same samples are apart from themselves when they are measured otherwise."""
    few, all_ = fewer[0].values, fewer[-1].values
    ways = [trial.values["distance"].value for trial in resized]
    return Sentence(
        "study.metrics.protocol",
        {
            "n": round(few["n"].value),
            "few": few["distance"].value,
            "all": round(all_["n"].value),
            "many": all_["distance"].value,
            "low": min(ways),
            "high": max(ways),
        },
    )


def _of_samples(shop: Workshop, model: Model, how: Mapping[str, Any]) -> tuple[tuple[Trial, ...], tuple[Trial, ...]]:
    """Returns the distances of fewer samples, and of all of them resized in several ways; drawn once, if at all.

    Args:
        shop: The study.
        model: What draws.
        how: The protocol of the distance of all of its samples.
    """

    @cache
    def drawn() -> Tensor:
        classes = shop.real.labels.tolist() if model.class_names else None
        images = api.sample(model, n=shop.real.n, labels=classes, seed=0, show=shop.show)
        return pictures.to_uint8(images).cpu()

    fewer = shop.found("fewer", _Found, lambda: _Found(trials=_of_fewer(shop, drawn(), how)), shop.of(model))
    resized = shop.found("resized", _Found, lambda: _Found(trials=_of_resized(shop, drawn(), how)), shop.of(model))
    return fewer.trials, resized.trials


def _of_fewer(shop: Workshop, images: Tensor, how: Mapping[str, Any]) -> tuple[Trial, ...]:
    """Returns the distance of parts of the samples, beside that of as many real images."""
    features, _ = shop.real.eye.see(images)
    half, other = shop.real.halves[0]
    against = shop.real.features[half]
    # Class by class they would lie, and a part would lack some.
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    trials = []
    for parts in _PARTS:
        n = len(features) // parts
        if n < 2:
            continue
        ours, theirs = (
            [frechet_distance(it[order[i * n : (i + 1) * n]], against) for i in range(parts)]
            for it in (features, shop.real.features[other])
        )
        distance = average(torch.tensor(ours), _FEW).model_copy(update={"real": mean(theirs)})
        values = {"n": Value(value=n), "distance": distance}
        trials.append(Trial(name=f"{n:,}", values=values, protocol={**how, "n": n}))
    return tuple(trials)


def _of_resized(shop: Workshop, images: Tensor, how: Mapping[str, Any]) -> tuple[Trial, ...]:
    """Returns the distance of samples that came as larger files and were brought to size in several ways."""
    against = shop.real.features[shop.real.halves[0][0]]
    ways = {"as_drawn": images} | {name: resized(images, resize) for name, resize in RESIZING.items()}
    trials = []
    for name, seen in ways.items():
        distance = frechet_distance(shop.real.eye.see(seen)[0], against)
        trials.append(
            Trial(name=name, values={"distance": Value(value=distance)}, protocol={**how, "files_resized": name})
        )
    return tuple(trials)


def _interpolated(mode: str, antialias: bool) -> Callable[[Tensor, tuple[int, int]], Tensor]:
    def resize(pixels: Tensor, size: tuple[int, int]) -> Tensor:
        return nn.functional.interpolate(pixels, size=size, mode=mode, antialias=antialias)

    return resize


RESIZING = {
    "nearest": _interpolated("nearest", antialias=False),
    "bilinear": _interpolated("bilinear", antialias=False),
    "bicubic_antialiased": _interpolated("bicubic", antialias=True),
}
"""Ways to bring a picture to another size."""


def resized(images: Tensor, resize: Callable[[Tensor, tuple[int, int]], Tensor]) -> Tensor:
    """Returns images, uint8, shape (n, C, H, W), that were enlarged and brought back: rounded to bytes in between, as
    files are.

    Source: Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", 2022, for the trap.
    """
    height, width = images.shape[-2:]
    larger = _interpolated("bicubic", antialias=True)(images.float(), (_LARGER * height, _LARGER * width))
    return _bytes(resize(_bytes(larger).float(), (height, width)))


def _bytes(pixels: Tensor) -> Tensor:
    return pixels.round().clamp(0, 255).to(torch.uint8)


def _fewer(fewer: Sequence[Trial]) -> Sentence:
    few, many = fewer[0].values, fewer[-1].values
    told = {"n": round(few["n"].value), "all": round(many["n"].value)}
    return Sentence("study.metrics.fewer", {**told, "few": few["distance"].value, "many": many["distance"].value})


def _resized(trials: Sequence[Trial]) -> Sentence:
    untouched, *others = (trial.values["distance"].value for trial in trials)
    return Sentence("study.metrics.resized", {"untouched": untouched, "low": min(others), "high": max(others)})
