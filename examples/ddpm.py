"""Section 4.2.3: the chain of DDPM in numbers, a digit noised along it, its loss, and one step back.

It takes no time: `python examples/ddpm.py`
"""

import torch

from kakusan import schedules
from kakusan.data import load
from kakusan.denoiser import Denoiser
from kakusan.networks import SimpleUNet
from kakusan.objective import denoising_loss, q_sample
from kakusan.parametrization import Epsilon
from kakusan.pictures import from_uint8
from kakusan.samplers import ddpm

torch.manual_seed(0)
chain = schedules.linear(1000, beta_start=1e-4, beta_end=0.02)

print(f"{'index':>5}{'ᾱ':>12}{'signal %':>11}{'noise %':>11}")
for index in (0, 100, 300, 500, 700, 999):
    bar = chain.alphas_cumprod[index]
    print(f"{index:5}{bar:12.4g}{100 * bar:11.3f}{100 * (1 - bar):11.3f}")

# q_sample: x_t = √ᾱ·x_0 + √(1 − ᾱ)·ε. Index 500 stands at the time 501/1000, and the time 0 is clean data.
x0 = from_uint8(load("digits").images[:16])  # (16, 1, 8, 8) in [−1, 1]
t = chain.index_to_time(torch.full((16,), 500))
epsilon = torch.randn_like(x0)
x_t = q_sample(chain, x0, t, epsilon)
print(f"\nq_sample at 500: {tuple(x_t.shape)}, deviation {x_t.std():.2f}")

# p_losses: the mean square of ε − ε̂, an image. The network is untrained; examples/training_loop.py trains one.
denoiser = Denoiser(SimpleUNet(1, 1, time_emb_dim=64, base_channels=16), chain, Epsilon())
print(f"p_losses: {denoising_loss(denoiser, x0, t, epsilon).mean():.2f}")

# p_sample: one step of the reverse process, with the posterior's variance β̃.
beta, bar, bar_before = chain.betas[500], chain.alphas_cumprod[500], chain.alphas_cumprod[499]
print(f"posterior variance at 500: {(1 - bar_before) / (1 - bar) * beta:.5f}, of β = {beta:.5f}")
step = next(ddpm(denoiser, x_t, chain.index_to_time(torch.tensor([500, 499])), noise=torch.randn_like))
print(f"p_sample from 500 to {chain.time_to_index(step.t)}: {tuple(step.x.shape)}")
