"""Section 4.1: two modes on a line, noised in 50 steps and walked back: `python examples/forward_process_1d.py`"""

import torch

from kakusan import grids, schedules
from kakusan.closed_form import GaussianMixture
from kakusan.objective import q_sample
from kakusan.samplers import ddpm

# β of the usual thousand steps times 1000/50: otherwise fifty steps end at ᾱ = 0.60, far from pure noise.
chain = schedules.linear(50, beta_start=0.002, beta_end=0.4)
mixture = GaussianMixture(torch.tensor([[-2.0], [2.0]]), deviation=0.5, weights=torch.ones(2), schedule=chain)


def show(t, x):
    heights = torch.histc(x, bins=40, min=-4, max=4)
    histogram = "".join(" ▁▂▃▄▅▆▇█"[int(8 * height)] for height in heights / heights.max())
    print(f"ᾱ = {chain(t)[0] ** 2:<8.3g}  mean {x.mean():5.2f}  deviation {x.std():.2f}  |{histogram}|")


x0 = mixture.sample(1000, generator=torch.manual_seed(0))  # (1000, 1)
print("forward, q(x_t | x_0), at the indices 0, 5, 10, …, 40, 49")
for t in chain.index_to_time(torch.tensor([*range(0, 45, 5), 49])):
    show(t, q_sample(chain, x0, t, torch.randn_like(x0)))
print("reverse, p(x_s | x_t), by the exact denoiser")
for step in ddpm(mixture, torch.randn_like(x0), grids.trailing(chain, 50), noise=torch.randn_like):
    if step.index % 10 == 9:
        show(step.t, step.x)
for side, points in {"left": step.x[step.x < 0], "right": step.x[step.x > 0]}.items():
    print(f"{side}: {len(points)} points, mean {points.mean():.2f}, deviation {points.std():.2f}")
