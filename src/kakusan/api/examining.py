"""Samples measured while a run trains: a few at a time, always of the same noise, for a curve beside the losses."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import torch
from torch import nn

from kakusan import sampling
from kakusan.api.drawing import settings_of
from kakusan.config.models import Evaluation, Sampling
from kakusan.data.batches import ImageBatches
from kakusan.denoiser import Denoiser
from kakusan.errors import unknown
from kakusan.evaluation import features
from kakusan.evaluation.evaluate import evaluate, reference
from kakusan.evaluation.formulas import FORMULAS
from kakusan.evaluation.measure import measure, see_real
from kakusan.model import Model
from kakusan.sampling import Progress
from kakusan.seeing.sources import Drawn, Stored, captions_like, classes_like
from kakusan.tensors import pack
from kakusan.training.examination import Examine


def examination(settings: Evaluation, model: Model, batches: ImageBatches, device: torch.device, show: bool) -> Examine:
    """Returns what measures samples of a network in training: by metrics, or by a classifier of the data's own.

    Args:
        settings: How often, how many, by what, and how they are drawn.
        model: What trains.
        batches: What it learns from: all real images, and which of them it does not see.
        device: Where to compute.
        show: Whether to show how it gets ready.

    Raises:
        KakusanError: A metric is unknown or its weights are wanting; or the images cannot be judged.
    """
    for name in settings.metrics:
        if name not in FORMULAS:
            raise unknown("metric", name, FORMULAS)
    make = _published if settings.metrics else _judged
    return make(settings, model, Stored.of_batches(batches), device, show)


def _judged(settings: Evaluation, model: Model, real: Stored, device: torch.device, show: bool) -> Examine:
    sampling.plan(model, n=settings.every_n, settings=_walk(model, settings))
    n = min(settings.every_n, real.n // 2)
    against = reference(real, n=n, splits=settings.splits, device=str(device), show=show)

    def examine(network: nn.Module, seen: int, progress: Progress) -> dict[str, Any]:
        now = _now(model, network, seen)
        judged = evaluate(now, against, settings=_walk(now, settings), name=real.name, progress=progress)
        return {"evaluation": judged.as_dict()}

    return examine


def _published(settings: Evaluation, model: Model, real: Stored, device: torch.device, show: bool) -> Examine:
    formulas = {name: FORMULAS[name] for name in settings.metrics}
    kinds = sorted({formula.network for formula in formulas.values()})
    # What is missing is missed now, and nobody waits for the real images in the middle of training.
    see_real(real, formulas, {kind: features.extractor(kind, device=device, show=show) for kind in kinds}, show)
    sampling.plan(model, n=settings.every_n, settings=_walk(model, settings))

    def examine(network: nn.Module, seen: int, progress: Progress) -> dict[str, Any]:
        now = _now(model, network, seen)
        n, how = settings.every_n, _walk(now, settings)
        labels, prompts = classes_like(now, n, real), captions_like(now, n, real)
        plan = sampling.plan(now, n=n, settings=how, seed=0, labels=labels, prompts=prompts)
        found = measure(Drawn(now, plan), real, settings.metrics, device=device, show=False, progress=progress)
        return {"measurements": [it.as_dict() for it in found]}

    return examine


def _now(model: Model, network: nn.Module, seen: int) -> Model:
    """Returns the model as it stands: with a network that has seen so many images."""
    denoiser = Denoiser(network, model.denoiser.schedule, model.denoiser.parametrization)
    digest = sha256(pack(network.state_dict())).hexdigest()  # that of the file in a checkpoint of this moment
    source = f"ema weights after {seen} images"
    return replace(model, denoiser=denoiser, source=source, images=seen, weights_from="ema", weights_hash=digest)


def _walk(model: Model, settings: Evaluation) -> Sampling:
    return settings_of(model, sampler=settings.sampler, steps=settings.steps, guidance=settings.guidance)
