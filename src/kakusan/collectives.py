"""What processes that train together exchange within a forward pass, with its gradient; alone, a tensor stays as it is.

torch's own functions of this kind are deprecated, and what is to take their place is not public.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def processes() -> int:
    """Returns how many train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Returns which of them this one is."""
    return distributed.get_rank() if processes() > 1 else 0


def summed(own: Tensor) -> Tensor:
    """Returns the sum of the tensors of all processes, each of the same shape."""
    if processes() == 1:
        return own
    total: Tensor = _Summed.apply(own)
    return total


def gathered(own: Tensor) -> Tensor:
    """Returns the tensors of all processes, each of the same shape (B, *), one after the other."""
    if processes() == 1:
        return own
    parts: Tensor = _Gathered.apply(own)
    return parts


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(processes())]
        distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total.chunk(processes())[rank()]
