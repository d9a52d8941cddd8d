"""Which images are learned from and which are kept out to judge on: it follows from the seed and their classes."""

from __future__ import annotations

import torch
from torch import Tensor

from kakusan import seeds


def parted(count: int, labels: Tensor | None, kept: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns the numbers of the images that are learned from, and of those that are kept out; by the seed alone.

    Args:
        count: How many images there are.
        labels: The class of each, int64, shape (N,), or None: of every class as large a share is kept out.
        kept: How many are kept out.
        seed: The seed of the run.
    """
    order = _in_proportion(count, labels, seed)
    return order[kept:].sort().values, order[:kept].sort().values


def kept_out(held_out: float, images: int) -> int:
    """Returns how many images are kept out: so many, or which share if below 1; 0 for none."""
    if not held_out:
        return 0
    return max(1, round(held_out * images)) if held_out < 1 else int(held_out)


def _in_proportion(count: int, labels: Tensor | None, seed: int) -> Tensor:
    """Returns the numbers of the images in an order whose every beginning has each class in proportion."""
    order = torch.randperm(count, generator=seeds.generator(seed, "held out"))
    if labels is None:
        return order
    place = torch.empty(count, dtype=torch.float64)
    for label in set(labels.tolist()):
        members = order[labels[order] == label]
        place[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return order[place[order].argsort(stable=True)]


def all_but(left_out: Tensor | None, count: int) -> Tensor:
    """Returns the numbers of those of ``count`` images that are not ``left_out``, int64, shape (k,), or None."""
    which = torch.ones(count, dtype=torch.bool)
    if left_out is not None:
        which[left_out] = False
    return which.nonzero().flatten()
