"""What classifier-free guidance does to a model: samples of the same seeds at one scale after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from kakusan import api, sampling
from kakusan.evaluation.judge import Judge
from kakusan.model import Model
from kakusan.pictures import to_uint8
from kakusan.progress import Bar
from kakusan.reporting.sections.guidance import Row, columns, rows

SCALES = (0.0, 1.0, 2.0, 5.0, 7.5, 10.0, 15.0)
_IMAGES, _SAMPLER, _STEPS, _SEED = 100, "ddim", 20, 0


def measure(model: Model, judge: Judge, show: bool = True) -> list[dict[str, Any]]:
    """Draws a hundred samples at every scale, and returns what they were like, a row a scale, for ``metrics.json``."""
    labels = torch.arange(_IMAGES) % len(model.class_names)
    measured = []
    for scale in SCALES:
        # Nothing keeps pixels in range, for how far guidance drives them out of it is what is looked for.
        how = sampling.settings(model.sampling, sampler=_SAMPLER, steps=_STEPS, guidance=scale, threshold="none")
        plan = sampling.plan(model, n=_IMAGES, settings=how, seed=_SEED, labels=labels)
        with Bar(f"guidance {scale:g}", 1, show=show) as bar:
            images = to_uint8(sampling.sample(plan, bar.report).cpu())
        accuracy = judge.recognised(images, labels)
        measured.append(Row(scale, _IMAGES, accuracy, saturated(images), _SAMPLER, _STEPS, how.threshold, _SEED))
    return [asdict(row) for row in measured]


def saturated(images: Tensor) -> float:
    """Returns the share of the values of ``images``, uint8 of any shape, that are at either end of their range."""
    return ((images == 0) | (images == 255)).double().mean().item()


def draw(model: Model, metrics: Mapping[str, Any]) -> Tensor | None:
    """Draws again the first of the samples that were measured, one a class.

    Args:
        model: The model.
        metrics: Of ``metrics.json``, which names the scales.

    Returns:
        Shape (scales, columns, C, H, W), values in [-1, 1]; None where nothing was measured.
    """
    scales = rows(metrics)
    if not scales:
        return None
    n = columns(len(scales), len(model.class_names), model.shape)
    drawn = [
        api.sample(
            model,
            n=n,
            labels=list(range(n)),
            sampler=row.sampler,
            steps=row.steps,
            guidance_scale=row.guidance,
            threshold=row.threshold,
            seed=row.seed,
        )
        for row in scales
    ]
    return torch.stack(drawn).cpu()
