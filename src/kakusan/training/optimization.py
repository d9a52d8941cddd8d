"""AdamW, and a learning rate that counts images: so it bends neither with the batch size nor with many processes."""

import math

from torch.optim import AdamW

from kakusan.config.models import Optimizer
from kakusan.training.task import Task


def adamw(task: Task, settings: Optimizer) -> AdamW:
    """Returns the optimizer of a task's groups.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """
    return AdamW(
        task.groups(),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def learning_rate(settings: Optimizer, images: int, total: int) -> float:
    """Returns the rate after ``images`` of a ``total`` have been seen: a linear rise, then half a cosine down to 0."""
    rise = min(1.0, images / settings.warmup_images) if settings.warmup_images > 0 else 1.0
    fall = 1.0
    if settings.decay == "cosine":
        after = max(0, images - settings.warmup_images) / max(1, total - settings.warmup_images)
        fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, after))
    return settings.learning_rate * rise * fall
