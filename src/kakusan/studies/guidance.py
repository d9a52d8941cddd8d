"""What classifier-free guidance does to a model: samples of the same seeds at one scale after another."""

from __future__ import annotations

import torch
from torch import Tensor

from kakusan import api, sampling
from kakusan.evaluation.judge import Judge
from kakusan.model import Model
from kakusan.pictures import to_uint8
from kakusan.progress import Bar
from kakusan.reporting.sections.guidance import columns
from kakusan.results import GuidanceResult, GuidanceSweep

SCALES = (0.0, 1.0, 2.0, 5.0, 7.5, 10.0, 15.0)
_IMAGES, _SAMPLER, _STEPS, _THRESHOLD, _SEED = 100, "ddim", 20, "none", 0


def measure(model: Model, judge: Judge, real: Tensor, show: bool = True) -> GuidanceSweep:
    """Draws a hundred samples at every scale, and returns what they were like.

    Args:
        model: A model with classes.
        judge: Who recognises them.
        real: Real images, uint8 of any shape.
        show: Whether to show progress.
    """
    labels = torch.arange(_IMAGES) % len(model.class_names)
    scales = []
    for scale in SCALES:
        # Nothing keeps pixels in range, for how far guidance drives them out of it is what is looked for.
        how = sampling.settings(model.sampling, sampler=_SAMPLER, steps=_STEPS, guidance=scale, threshold=_THRESHOLD)
        plan = sampling.plan(model, n=_IMAGES, settings=how, seed=_SEED, labels=labels)
        with Bar(f"guidance {scale:g}", 1, show=show) as bar:
            images = to_uint8(sampling.sample(plan, bar.report).cpu())
        accuracy = judge.recognised(images, labels)
        scales.append(GuidanceResult(guidance=scale, class_accuracy=accuracy, saturated=saturated(images)))
    return GuidanceSweep(
        sampler=_SAMPLER,
        steps=_STEPS,
        threshold=_THRESHOLD,
        seed=_SEED,
        images=_IMAGES,
        real_accuracy=judge.accuracy,
        real_saturated=saturated(real),
        scales=tuple(scales),
    )


def saturated(images: Tensor) -> float:
    """Returns the share of the values of ``images``, uint8 of any shape, that are at either end of their range."""
    return ((images == 0) | (images == 255)).double().mean().item()


def draw(model: Model, sweep: GuidanceSweep) -> Tensor:
    """Draws again the first of the samples that were measured, one a class: shape (scales, columns, C, H, W).

    Values lie in [-1, 1].
    """
    n = columns(len(sweep.scales), len(model.class_names), model.shape)
    drawn = [
        api.sample(
            model,
            n=n,
            labels=list(range(n)),
            sampler=sweep.sampler,
            steps=sweep.steps,
            guidance_scale=found.guidance,
            threshold=sweep.threshold,
            seed=sweep.seed,
        )
        for found in sweep.scales
    ]
    return torch.stack(drawn).cpu()
