"""The running average of the weights, from which samples are drawn."""

from copy import deepcopy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    r"""An exponential moving average whose memory is measured in images, so that the batch size does not change it.

    .. math:: \bar\theta \leftarrow d\, \bar\theta + (1 - d)\, \theta, \qquad d = 2^{-B / h}

    The half-life h is capped at a share of the images seen, so that early on the initial weights are soon forgotten.

    Source: Karras et al., 2022, appendix F.2 and the code published with it.

    Args:
        network: Its weights are where the average starts.
        half_life: h in images.
        ramp_up: The share; 0 caps nothing.

    Attributes:
        network: A copy that holds the average, in evaluation mode.
    """

    def __init__(self, network: nn.Module, half_life: float, ramp_up: float) -> None:
        self.network = deepcopy(network).eval().requires_grad_(False)
        self._half_life, self._ramp_up = half_life, ramp_up

    @torch.no_grad()
    def update(self, network: nn.Module, batch_size: int, images: int) -> None:
        """Moves the average towards ``network``, after ``images`` images, the last ``batch_size`` of them just now."""
        half_life = min(self._half_life, images * self._ramp_up) if self._ramp_up > 0 else self._half_life
        averaged, current = list(self.network.parameters()), list(network.parameters())
        move = get_ema_multi_avg_fn(0.5 ** (batch_size / half_life))  # type: ignore[no-untyped-call]
        move(averaged, current, 0)
        for own, other in zip(self.network.buffers(), network.buffers(), strict=True):
            own.copy_(other)
