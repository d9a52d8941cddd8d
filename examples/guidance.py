"""Section 4.5.4: guidance between two classes that a network knows exactly: `python examples/guidance.py`"""

import torch

import kakusan
from kakusan.closed_form import GaussianMixture
from kakusan.condition import Condition
from kakusan.denoiser import Denoiser
from kakusan.guidance import ClassifierFree
from kakusan.parametrization import Epsilon

# A number stands for an image: the classes lie at ±0.5, and beyond ±1 a pixel would be saturated.
chain, means = kakusan.schedules.linear(), torch.tensor([[-0.5], [0.5]])
mixtures = [GaussianMixture(some, 0.25, torch.ones(len(some)), chain) for some in (means, means[:1], means[1:])]


class Perfect(torch.nn.Module):
    """ε of the class; where the label is −1, no class, of all data together."""

    def forward(self, x, clock, condition):
        known = torch.stack([mixture(x, chain.index_to_time(clock)).epsilon for mixture in mixtures])
        return known[condition.labels + 1, torch.arange(len(x))]


denoiser = Denoiser(Perfect(), chain, Epsilon())
condition = Condition(labels=torch.ones(2000, dtype=torch.int64))  # the class at 0.5

print(f"{'w':>4}{'of the class':>14}{'mean':>7}{'deviation':>11}{'saturated':>11}")
for scale in (0, 1, 5, 7.5, 10, 15):  # 0 is no condition, 1 the plain conditional model
    guided = ClassifierFree(denoiser, condition, scale)  # ε_∅ + w·(ε_c − ε_∅)
    x = kakusan.sample(guided, n=2000, batch=2000, shape=(1,), steps=200, seed=0)
    of_the_class, saturated = (x > 0).float().mean(), (x.abs() > 1).float().mean()
    print(f"{scale:4g}{of_the_class:14.1%}{x.mean():7.2f}{x.std():11.2f}{saturated:11.1%}")
