"""DDPM: ancestral sampling, a little fresh noise at every step.

Ho, Jain & Abbeel, "Denoising Diffusion Probabilistic Models", 2020, algorithm 2 and equations (6) and (7). One network
call a step, and many steps: the whole chain, or any subset of it.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from kakusan.denoiser import Denoise, expand
from kakusan.errors import KakusanError, unknown
from kakusan.samplers.step import Step

Variance = Literal["posterior", "beta"]


@torch.no_grad()
def ddpm(
    denoise: Denoise,
    x: Tensor,
    times: Tensor,
    *,
    variance: Variance = "posterior",
    noise: Callable[[Tensor], Tensor],
) -> Iterator[Step]:
    r"""Walks ``x`` down the grid ``times`` through the reverse process p(x_s | x_t), yielding every step.

    .. math:: x_s = \alpha_s \hat{x}_0 + \sigma_s \sqrt{1 - r}\, \hat\varepsilon + \varsigma z, \qquad
              r = 1 - \mathrm{SNR}_t / \mathrm{SNR}_s

    That is the mean of q(x_s | x_t, x_0), written in x_0 and ε, which stays finite where α_t = 0. The noise is
    ς² = σ_s²·r, the posterior's β̃, or ς² = σ_t²·r, which between neighbours of a chain is β. The first is
    right for data that are one point, the second, where α² + σ² = 1, for data that are white noise.

    Args:
        denoise: Predicts x_0 from a noisy batch; guidance, if any, is already inside.
        x: A batch at ``times[0]``, shape (B, *); to sample, noise of deviation σ(times[0]).
        times: Decreasing times in [0, 1], shape (K + 1,). A step to 0 adds no noise.
        variance: ``"posterior"`` for β̃ (Ho et al.'s "fixedsmall"), ``"beta"`` for β ("fixedlarge").
        noise: Standard normal noise shaped like its argument.

    Yields:
        K steps; the last one's ``x`` is the sample.

    Raises:
        KakusanError: ``variance`` is neither, or some times do not decrease.
    """
    if variance not in get_args(Variance):
        raise unknown("variance", variance, get_args(Variance))
    if (times.diff() >= 0).any():
        raise KakusanError("times must decrease: ddpm only walks from noise to data (ddim with eta=0 walks back)")

    for index, (t, s) in enumerate(pairwise(times)):
        prediction = denoise(x, t)
        alpha_s, sigma_s = denoise.schedule(s)
        r = denoise.schedule.snr_drop(s, t)
        x = expand(alpha_s, x) * prediction.x0 + expand(sigma_s * (1 - r).sqrt(), x) * prediction.epsilon
        if s > 0:
            spread = (sigma_s if variance == "posterior" else denoise.schedule(t)[1]) * r.sqrt()
            x = x + expand(spread, x) * noise(x)
        yield Step(index=index, t=s, x=x, x0=prediction.x0)
