"""Heun's method: a DDIM step, then the same step again with the slopes of both its ends averaged.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, algorithm 1. Two network calls
a step, one in a step to clean data; deterministic; order 2.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from kakusan.denoiser import Denoise, expand
from kakusan.samplers.step import Step


@torch.no_grad()
def heun(
    denoise: Denoise, x: Tensor, times: Tensor, *, noise: Callable[[Tensor], Tensor] | None = None
) -> Iterator[Step]:
    r"""Walks ``x`` along the grid ``times``, yielding every step.

    .. math:: x_s = x_t + (\alpha_s - \alpha_t)\, \hat{x}_0 + (\sigma_s - \sigma_t)\, \hat\varepsilon

    with x̂_0 and ε̂ first from x_t, then the average of those and the ones at the point so reached. Where α = 1 this
    is the paper's algorithm in σ; where α = 1 − t it is Heun's method on the flow's velocity.

    Args:
        denoise: Predicts x_0 from a noisy batch; guidance, if any, is already inside.
        x: A batch at ``times[0]``, shape (B, *); to sample, noise of deviation σ(times[0]).
        times: Times in [0, 1], shape (K + 1,); decreasing, ending at 0 for clean data.
        noise: Never called; every sampler takes it.

    Yields:
        K steps; the last one's ``x`` is the sample.
    """
    for index, (t, s) in enumerate(pairwise(times)):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = denoise.schedule(t), denoise.schedule(s)
        along_x0, along_epsilon = expand(alpha_s - alpha_t, x), expand(sigma_s - sigma_t, x)

        here = denoise(x, t)
        reached = x + along_x0 * here.x0 + along_epsilon * here.epsilon
        if s > 0:  # at clean data σ = 0, and ε is unknown
            middle = here.towards(denoise(reached, s), 0.5)
            reached = x + along_x0 * middle.x0 + along_epsilon * middle.epsilon
        x = reached
        yield Step(index=index, t=s, x=x, x0=here.x0)
