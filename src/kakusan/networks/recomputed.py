"""A block of a network that can be computed once more for the gradient, rather than all of it kept in memory."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Module):
    """A block of a picture or of words, and of what else it hears of, whose work is in :meth:`compute`.

    Attributes:
        recompute: Whether only its inputs are kept for the gradient, and the rest is computed again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recompute = False

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """Returns what :meth:`compute` makes of a picture, (B, in, H, W), or of words, and of what else it is told."""
        if self.recompute and torch.is_grad_enabled():
            again: Tensor = checkpoint(self.compute, *inputs, use_reentrant=False)
            return again
        return self.compute(*inputs)

    @abstractmethod
    def compute(self, *args: Any, **kwargs: Any) -> Tensor:
        """Returns what :meth:`forward` does."""
