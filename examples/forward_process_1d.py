"""Section 4.1: a thousand points in two modes, noised in fifty steps and walked back.

It takes no time: `python examples/forward_process_1d.py`
"""

import torch

from kakusan import grids, schedules
from kakusan.closed_form import GaussianMixture
from kakusan.objective import q_sample
from kakusan.samplers import ddpm

# β of the usual thousand steps times 1000/50: otherwise fifty steps end at ᾱ = 0.60, far from pure noise.
chain = schedules.linear(50, beta_start=0.002, beta_end=0.4)
modes = torch.tensor([[-2.0], [2.0]])
mixture = GaussianMixture(modes, deviation=0.5, weights=torch.ones(2), schedule=chain)
generator = torch.Generator().manual_seed(0)


def noise(x):
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)


def show(t, x):
    heights = torch.histc(x, bins=40, min=-4, max=4)
    histogram = "".join(" ▁▂▃▄▅▆▇█"[int(8 * height)] for height in heights / heights.max())
    print(f"ᾱ = {chain(t)[0] ** 2:7.3g}  mean {x.mean():5.2f}  deviation {x.std():.2f}  |{histogram}|")


print("forward, q(x_t | x_0), at t = 0, 5, 10, …, 40, 49")
x0 = mixture.sample(1000, generator)  # (1000, 1)
for index in [*range(0, 45, 5), 49]:
    t = chain.index_to_time(torch.tensor(index))
    show(t, q_sample(chain, x0, t, noise(x0)))

print("reverse, p(x_s | x_t), by the exact denoiser")
for step in ddpm(mixture, noise(x0), grids.trailing(chain, 50), noise=noise):
    if step.index % 10 == 9:
        show(step.t, step.x)
for side, points in {"left": step.x[step.x < 0], "right": step.x[step.x > 0]}.items():
    print(f"{side}: {len(points)} points, mean {points.mean():.2f}, deviation {points.std():.2f}")
