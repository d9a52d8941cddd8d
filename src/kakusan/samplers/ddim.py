"""DDIM: fewer, longer steps, deterministic unless asked otherwise.

Song, Meng & Ermon, "Denoising Diffusion Implicit Models", 2020, equations (12) and (16).
One network call a step; order 1.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from kakusan.denoiser import Denoise, expand
from kakusan.errors import KakusanError
from kakusan.samplers.step import Step


@torch.no_grad()
def ddim(
    denoise: Denoise,
    x: Tensor,
    times: Tensor,
    *,
    eta: float = 0.0,
    noise: Callable[[Tensor], Tensor],
) -> Iterator[Step]:
    r"""Walks ``x`` along the grid ``times``, yielding every step.

    .. math:: x_s = \alpha_s \hat{x}_0 + \sigma_s \sqrt{1 - \eta^2 r}\, \hat\varepsilon + \sigma_s \eta \sqrt{r}\, z,
              \qquad r = 1 - \mathrm{SNR}_t / \mathrm{SNR}_s

    σ_s·√r is the posterior deviation of DDPM under any schedule; where α² + σ² = 1 this is equation (16).
    With η = 0 and *increasing* times, the first above 0, the walk inverts: from data back to noise.

    Args:
        denoise: Predicts x_0 from a noisy batch; guidance, if any, is already inside.
        x: A batch at ``times[0]``, shape (B, *); to sample, noise of deviation σ(times[0]).
        times: Times in [0, 1], shape (K + 1,); decreasing, ending at 0 for clean data.
        eta: Share of DDPM's noise: 0 is deterministic, 1 is DDPM with the posterior's variance.
        noise: Standard normal noise shaped like its argument; not called where ``eta`` is 0.

    Yields:
        K steps; the last one's ``x`` is the sample.

    Raises:
        KakusanError: ``eta`` leaves [0, 1], or is positive on a walk towards noise.
    """
    if not 0 <= eta <= 1:
        raise KakusanError(f"eta must lie in [0, 1], not {eta}")
    if eta > 0 and (times.diff() > 0).any():
        raise KakusanError(f"times must decrease while eta is {eta}: only eta=0 walks back to noise")

    for index, (t, s) in enumerate(pairwise(times)):
        prediction = denoise(x, t)
        alpha_s, sigma_s = denoise.schedule(s)
        fresh = eta**2 * denoise.schedule.snr_drop(s, t)
        x = expand(alpha_s, x) * prediction.x0 + expand(sigma_s * (1 - fresh).sqrt(), x) * prediction.epsilon
        if eta > 0:
            x = x + expand(sigma_s * fresh.sqrt(), x) * noise(x)
        yield Step(index=index, t=s, x=x, x0=prediction.x0)
