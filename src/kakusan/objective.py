"""The forward process, and the loss that teaches a network to undo it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kakusan.condition import Condition
from kakusan.denoiser import Denoiser, expand
from kakusan.errors import KakusanError
from kakusan.schedules import Schedule


def q_sample(schedule: Schedule, x0: Tensor, t: Tensor, epsilon: Tensor) -> Tensor:
    r"""Draws x_t ~ q(x_t | x_0) at once, for any time.

    .. math:: x_t = \alpha_t x_0 + \sigma_t \varepsilon

    Args:
        schedule: From time to α and σ.
        x0: Clean batch, shape (B, *).
        t: Times in [0, 1], shape () or (B,).
        epsilon: Standard normal noise, shape (B, *).

    Source: Ho, Jain & Abbeel, 2020, equation (4).
    """
    alpha, sigma = schedule(t)
    return expand(alpha, x0) * x0 + expand(sigma, x0) * epsilon


def q_step(schedule: Schedule, x_s: Tensor, s: Tensor, t: Tensor, epsilon: Tensor) -> Tensor:
    r"""Draws x_t ~ q(x_t | x_s), one step of noising from time ``s`` to a later ``t``.

    .. math:: x_t = \frac{\alpha_t}{\alpha_s} x_s + \sqrt{\sigma_t^2 - (\alpha_t / \alpha_s)^2 \sigma_s^2}\, \varepsilon

    Between neighbours of a chain that is √(1 − β)·x_{i−1} + √β·ε. Arguments are those of :func:`q_sample`.

    Source: Ho, Jain & Abbeel, 2020, equation (2).

    Raises:
        KakusanError: Some t lies before its s.
    """
    if (t < s).any():
        raise KakusanError(f"noise is added from an earlier time to a later one, not from {s.max()} to {t.min()}")
    (alpha_s, _), (alpha_t, sigma_t) = schedule(s), schedule(t)
    kept = torch.where(t == s, 1.0, alpha_t / alpha_s)  # at the noisy end of time 0/0
    # Not the difference of squares, which may round to the root of a negative number.
    added = sigma_t * schedule.snr_drop(s, t).sqrt()
    return expand(kept, x_s) * x_s + expand(added, x_s) * epsilon


@dataclass(frozen=True)
class TimeSampling:
    r"""Which times training visits.

    Args:
        stratified: One draw from each of B equal parts of the distribution, in random order, in place of B independent
            ones: the loss varies less. The idea is that of Kingma et al., "Variational Diffusion Models", 2021,
            appendix I.1, who shift one draw by i/B instead.
        lognormal: Mean and deviation of ln(σ/α), or None for times uniform in [0, 1] (on a chain, uniform among its
            steps). Source: Karras et al., 2022, table 1, whose values are (−1.2, 1.2).
    """

    stratified: bool = False
    lognormal: tuple[float, float] | None = None

    def __call__(self, schedule: Schedule, quantile: Tensor) -> Tensor:
        """Returns the times, float64, at uniform draws ``quantile`` from [0, 1), shape (B,).

        Stratified or not, the draws of a batch are made by :meth:`quantiles`.
        """
        if self.lognormal is None:
            return schedule.training_time(quantile)
        mean, deviation = self.lognormal
        # An endpoint would be ±∞: 1e-12 is seven deviations away.
        normal = torch.special.ndtri(quantile.clamp(1e-12, 1 - 1e-12))
        # A chain begins at its first knot: nearer to data no other training goes, and no sampler asks.
        return schedule.time_at(-2 * (mean + deviation * normal)).clamp(min=schedule.earliest)

    def quantiles(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws ``count`` uniform numbers from [0, 1), float64 on the CPU."""
        draws = torch.rand(count, generator=generator, dtype=torch.float64)
        if not self.stratified:
            return draws
        return (torch.randperm(count, generator=generator) + draws) / count


def denoising_loss(
    denoiser: Denoiser, x0: Tensor, t: Tensor, epsilon: Tensor, condition: Condition | None = None
) -> Tensor:
    r"""Returns every image's loss, the mean squared error of the network's output, shape (B,).

    .. math:: L = \frac{1}{D} \lVert F(c_{in}\, x_t, \text{clock}(t), c) - F^* \rVert^2

    In the space of the output, so no noise level is amplified; with the parametrization ε this is L_simple.

    Args:
        denoiser: Network, schedule and parametrization.
        x0: Clean images, shape (B, *).
        t: Times in (0, 1], shape (B,), float64 on the CPU.
        epsilon: Standard normal noise, shape (B, *).
        condition: One entry an image, if any.

    Source: Ho, Jain & Abbeel, 2020, equation (14).
    """
    x_t = q_sample(denoiser.schedule, x0, t, epsilon)
    alpha, sigma = (expand(coefficient, x0) for coefficient in denoiser.schedule(t))
    target = denoiser.parametrization.target(x0, epsilon, alpha, sigma)
    return (denoiser.output(x_t, t, condition) - target).square().flatten(1).mean(1)
