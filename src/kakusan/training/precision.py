"""In which numbers a network computes while it learns; its weights stay in float32 whatever is chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from kakusan.config.models import Training


class Precision:
    """Mixed precision, and for float16 the scale that keeps small gradients from vanishing.

    The scale doubles after 2,000 good steps and is halved by a gradient that overflows: that step is skipped, as any
    whose gradient is no number.

    Source: Micikevicius et al., "Mixed Precision Training", 2018, section 3.2.

    Args:
        settings: Which numbers.
        device: Where they are.
    """

    def __init__(self, settings: Training, device: torch.device) -> None:
        self._dtype: torch.dtype = getattr(torch, settings.dtype)
        self._tf32 = settings.tf32
        self._device = device.type
        self._scaler = torch.amp.GradScaler(self._device, enabled=self._dtype == torch.float16)

    def autocast(self) -> AbstractContextManager[Any]:
        """Returns a context whose forward passes compute in these numbers."""
        # By a context: a network, perhaps a user's own, is left as it is.
        return torch.autocast(self._device, self._dtype, enabled=self._dtype != torch.float32)

    @contextmanager
    def matrices(self) -> Iterator[None]:
        """A context in which float32 matrices and convolutions of a GPU are computed as TF32, or just not; these are
        settings of the whole process."""
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        if self._device == "cuda":
            torch.set_float32_matmul_precision("high" if self._tf32 else "highest")
            torch.backends.cudnn.allow_tf32 = self._tf32
        try:
            yield
        finally:
            if self._device == "cuda":
                torch.set_float32_matmul_precision(before[0])
                torch.backends.cudnn.allow_tf32 = before[1]

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of a loss, shape (), scaled where need be."""
        torch.autograd.backward(self._scaler.scale(loss))

    def clip(self, optimizer: Optimizer, limit: float | None) -> Tensor:
        """Brings the gradient to its own size, then to a norm of at most ``limit``, and returns the norm before that.

        Returns:
            Shape (), on the device; not finite where the gradient overflowed.
        """
        self._scaler.unscale_(optimizer)
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        return clip_grad_norm_(weights, math.inf if limit is None else limit)

    def settle(self) -> None:
        """Adapts the scale, once a step, after the optimizer's."""
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must hold; nothing but for float16."""
        return self._scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        if state:
            self._scaler.load_state_dict(state)
