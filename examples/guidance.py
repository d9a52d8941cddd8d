"""Section 4.5.4: classifier-free guidance between two classes that a network knows exactly.

It takes no time: `python examples/guidance.py`

A number stands for an image: the classes lie at ±0.5 with deviation 0.25, and beyond ±1 a pixel would be saturated.
With pictures: `kakusan sample runs/demo --guidance 7.5`.
"""

import torch
from torch import nn

from kakusan import grids, schedules
from kakusan.closed_form import GaussianMixture
from kakusan.condition import Condition
from kakusan.denoiser import Denoiser
from kakusan.guidance import ClassifierFree
from kakusan.parametrization import Epsilon
from kakusan.samplers import ddim

chain = schedules.linear()
means = torch.tensor([[-0.5], [0.5]])
both = GaussianMixture(means, 0.25, torch.ones(2), chain)
apart = [GaussianMixture(mean[None], 0.25, torch.ones(1), chain) for mean in means]


class Perfect(nn.Module):
    """What training would end in: ε of the class; of all data together where the label is −1, no class."""

    def forward(self, x, clock, condition):
        t = chain.index_to_time(clock)
        epsilon = torch.stack([mixture(x, t).epsilon for mixture in (both, *apart)])
        return epsilon[condition.labels + 1, torch.arange(len(x))]


denoiser = Denoiser(Perfect(), chain, Epsilon())
condition = Condition(labels=torch.ones(2000, dtype=torch.int64))  # the class at 0.5
x1 = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
times = grids.trailing(chain, 200)

print(f"{'w':>4}{'of the class':>14}{'mean':>7}{'deviation':>11}{'saturated':>11}")
for scale in (0, 1, 5, 7.5, 10, 15):  # 0 is no condition, 1 the plain conditional model
    guided = ClassifierFree(denoiser, condition, scale)  # ε_∅ + w·(ε_c − ε_∅)
    *_, last = ddim(guided, x1, times, noise=torch.randn_like)
    x = last.x
    share, saturated = (x > 0).float().mean(), (x.abs() > 1).float().mean()
    print(f"{scale:4g}{share:14.1%}{x.mean():7.2f}{x.std():11.2f}{saturated:11.1%}")
