"""The running average of the weights, from which samples are drawn."""

from copy import deepcopy

import torch
from torch import Tensor, nn


class Average:
    r"""An exponential moving average whose memory is measured in images, so that the batch size does not change it.

    What a network measures of the data on the way, in buffers, is averaged as its weights are, to which it belongs.

    .. math:: \bar\theta \leftarrow d\, \bar\theta + (1 - d)\, \theta, \qquad d = 2^{-B / h}

    The half-life h is capped at a share of the images seen, so that early on the initial weights are soon forgotten.

    Source: Karras et al., 2022, appendix F.2 and the code published with it.

    Args:
        network: Its weights are where the average starts, and what it follows.
        half_life: h in images.
        ramp_up: The share; 0 caps nothing.

    Attributes:
        network: A copy that holds the average, in evaluation mode.
    """

    def __init__(self, network: nn.Module, half_life: float, ramp_up: float) -> None:
        self.network = deepcopy(network).eval().requires_grad_(False)
        self._half_life, self._ramp_up = half_life, ramp_up
        # Once: to walk through the modules of a small network takes a noticeable part of a step.
        self._averaged, self._learned = (
            [*it.parameters(), *(buffer for buffer in it.buffers() if buffer.is_floating_point())]
            for it in (self.network, network)
        )
        counters = zip(self.network.buffers(), network.buffers(), strict=True)
        self._counters = [(own, other) for own, other in counters if not own.is_floating_point()]

    @torch.no_grad()
    def update(self, batch_size: int, images: int, skip: Tensor | None = None) -> None:
        """Moves the average to the network, after ``images`` images, the last ``batch_size`` of them just now.

        Where ``skip``, bool of shape (), is true, the average stays where it is; nobody waits to learn whether it is.
        """
        half_life = min(self._half_life, images * self._ramp_up) if self._ramp_up > 0 else self._half_life
        counts = torch.tensor(True) if skip is None else ~skip
        step = 1 - 0.5 ** (batch_size / half_life)
        weights = {own.dtype: counts.to(own) * step for own in {own.dtype: own for own in self._averaged}.values()}
        torch._foreach_lerp_(self._averaged, self._learned, [weights[own.dtype] for own in self._averaged])
        for own, other in self._counters:
            own.copy_(other)
