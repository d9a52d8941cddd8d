"""AdamW, and a learning rate that counts images: so it bends neither with the batch size nor with many processes."""

import math

from torch import Tensor
from torch.optim import AdamW

from kakusan.config.models import Optimizer
from kakusan.training.task import Task


def adamw(task: Task, settings: Optimizer) -> AdamW:
    """Returns the optimizer of a task's groups. A group's own ``lr`` is its rate at the peak.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """
    optimizer = AdamW(
        task.groups(),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=settings.fused or None,
    )
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]  # torch's own name for it
    return optimizer


def learning_rate(settings: Optimizer, images: int, total: int) -> float:
    """Returns the rate after ``images`` of a ``total`` have been seen: a linear rise, then half a cosine down to 0."""
    rise = min(1.0, images / settings.warmup_images) if settings.warmup_images > 0 else 1.0
    fall = 1.0
    if settings.decay == "cosine":
        after = max(0, images - settings.warmup_images) / max(1, total - settings.warmup_images)
        fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, after))
    return settings.learning_rate * rise * fall


def step(optimizer: AdamW, settings: Optimizer, rate: float, skip: Tensor) -> None:
    """Takes a step, or leaves weights and moments as they are, and forgets the gradient.

    Args:
        optimizer: What :func:`adamw` made.
        settings: What it was made from.
        rate: The learning rate of a group without one of its own; that of another is in proportion.
        skip: Whether to leave everything, bool of shape (). The fused kernel reads it on the device; without that
            kernel the device is waited for.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] / settings.learning_rate * rate
    if settings.fused:
        optimizer.found_inf = skip.float()  # type: ignore[attr-defined]  # as torch's own GradScaler tells it
        optimizer.step()
    elif not skip.item():
        optimizer.step()
    optimizer.zero_grad()
