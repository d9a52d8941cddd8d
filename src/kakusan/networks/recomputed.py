"""A block of a network that can be computed once more for the gradient, rather than all of it kept in memory."""

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Module):
    """A block of a picture and the embedding of time, whose work is in :meth:`compute`.

    Attributes:
        recompute: Whether only its inputs are kept for the gradient, and the rest is computed again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recompute = False

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Returns (B, out, H, W) from ``x``, (B, in, H, W), and an embedding of time, (B, width)."""
        if self.recompute and torch.is_grad_enabled():
            again: Tensor = checkpoint(self.compute, x, time, use_reentrant=False)
            return again
        return self.compute(x, time)

    @abstractmethod
    def compute(self, x: Tensor, time: Tensor) -> Tensor:
        """Returns what :meth:`forward` does."""
