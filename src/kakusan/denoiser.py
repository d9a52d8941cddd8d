"""The denoiser: a network, a schedule and a parametrization make a prediction of the clean image.

All scaling of inputs and outputs, every conversion of time and every cast of dtype lives here and nowhere else: a
sampler sees α, σ, x_0 and ε only, and a network sees numbers of ordinary size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from kakusan.condition import Condition
from kakusan.devices import sent
from kakusan.errors import KakusanError
from kakusan.parametrization import Parametrization
from kakusan.schedules import Schedule


def expand(coefficient: Tensor, x: Tensor) -> Tensor:
    """Returns a ``coefficient`` of shape () or (B,) shaped and cast so that it multiplies ``x``, shape (B, *)."""
    if coefficient.ndim == 0:  # a scalar on the CPU multiplies a tensor anywhere, and no GPU is waited for
        return coefficient.to(x.dtype)
    return sent(coefficient.to(x.dtype), x.device).reshape(-1, *[1] * (x.ndim - 1))


@dataclass(frozen=True)
class Prediction:
    """What is known of a noisy batch once a denoiser has seen it.

    Attributes:
        x_t: The noisy batch, shape (B, *).
        x0: The predicted clean images, shape (B, *).
        alpha, sigma: The coefficients of x_t = α·x_0 + σ·ε, shape () or (B,).
        epsilon: The predicted noise, shape (B, *).
    """

    x_t: Tensor
    x0: Tensor
    alpha: Tensor
    sigma: Tensor
    epsilon: Tensor

    @classmethod
    def from_x0(cls, x_t: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
        """Returns the prediction of clean images alone, with the noise ε = (x_t − α·x_0)/σ that makes up the rest."""
        return cls(x_t, x0, alpha, sigma, (x_t - expand(alpha, x_t) * x0) / expand(sigma, x_t))

    def with_x0(self, x0: Tensor) -> Prediction:
        """Returns the same noisy batch with other clean images, such as clipped ones, and the noise that fits them."""
        return Prediction.from_x0(self.x_t, x0, self.alpha, self.sigma)

    def towards(self, other: Prediction, weight: float) -> Prediction:
        """Returns self + weight·(other − self), in x_0 and ε alike; a ``weight`` above 1 extrapolates."""
        x0, epsilon = torch.lerp(self.x0, other.x0, weight), torch.lerp(self.epsilon, other.epsilon, weight)
        return replace(self, x0=x0, epsilon=epsilon)

    @property
    def v(self) -> Tensor:
        """v = α·ε − σ·x_0, shape (B, *)."""
        return expand(self.alpha, self.x_t) * self.epsilon - expand(self.sigma, self.x_t) * self.x0

    @property
    def score(self) -> Tensor:
        """∇ ln p(x_t) = −ε/σ, shape (B, *)."""
        return -self.epsilon / expand(self.sigma, self.x_t)


class Denoise(Protocol):
    """What a sampler walks with. A denoiser with its condition bound is one, and so is one under guidance."""

    @property
    def schedule(self) -> Schedule:
        """From time to α and σ."""

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """Predicts for ``x_t``, shape (B, *), at times ``t``, float64 of shape () or (B,) on the CPU."""


class Denoiser(nn.Module):
    r"""Predicts x_0 and ε through a network.

    .. math:: \hat{x}_0, \hat\varepsilon = \mathrm{recover}(x_t,\, F(c_{in}\, x_t, \text{clock}(t), \text{condition}))

    Args:
        network: Any module called as ``network(x, clock)``, and as ``network(x, clock, condition)`` where there is a
            condition; clock is float32 of shape (B,). Wrap the network, never the denoiser, for compilation or DDP.
        schedule: From time to α and σ.
        parametrization: What the network's output means.

    Raises:
        KakusanError: The parametrization makes no sense under this schedule.
    """

    __call__: Callable[..., Prediction]  # torch's own is untyped

    def __init__(self, network: nn.Module, schedule: Schedule, parametrization: Parametrization) -> None:
        super().__init__()
        parametrization.check(schedule)
        self.network = network
        self.schedule = schedule
        self.parametrization = parametrization

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Prediction:
        """Predicts the clean images in ``x_t``, shape (B, *), at times ``t`` in (0, 1], float64 of shape () or (B,)."""
        alpha, sigma = self.schedule(t)
        output = self.output(x_t, t, condition)
        x0, epsilon = self.parametrization.recover(x_t, output, expand(alpha, x_t), expand(sigma, x_t))
        return Prediction(x_t, x0, alpha, sigma, epsilon)

    def output(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Returns F itself, shaped and typed like ``x_t``: what training compares with the target."""
        c_in = self.parametrization.c_in(*self.schedule(t))
        clock = sent(self.schedule.clock(t).float(), x_t.device).expand(len(x_t))
        x = (expand(c_in, x_t) * x_t).to(self._dtype(x_t))
        output: Tensor = self.network(x, clock) if condition is None else self.network(x, clock, condition)
        if output.shape != x_t.shape:  # which broadcasting would take for a prediction of another shape
            raise KakusanError(
                f"the network must answer images of shape {tuple(x_t.shape)} with as many values, "
                f"not with shape {tuple(output.shape)}"
            )
        return output.to(x_t.dtype)

    def _dtype(self, x_t: Tensor) -> torch.dtype:
        floats = (parameter.dtype for parameter in self.network.parameters() if parameter.is_floating_point())
        return next(floats, x_t.dtype)


@dataclass(frozen=True)
class Bind:
    """A denoiser with its condition bound, one entry an image: what a sampler can walk with."""

    denoiser: Denoiser
    condition: Condition | None = None

    @property
    def schedule(self) -> Schedule:
        return self.denoiser.schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        return self.denoiser(x_t, t, self.condition)


def modules_in(denoise: object) -> list[nn.Module]:
    """Returns the modules inside a denoiser, itself one or not: those that it holds, and those in denoisers it holds.

    Guidance, thresholds and bound conditions are seen through, however often they wrap and whoever wrote them.
    """
    if isinstance(denoise, nn.Module):
        return [denoise]
    held = getattr(denoise, "__dict__", {}).values()
    return [module for it in held if isinstance(it, nn.Module) or hasattr(it, "schedule") for module in modules_in(it)]
