"""Section 4.2.3: DDPM's chain in numbers, a digit noised, its loss, and one step back: `python examples/ddpm.py`"""

import torch

from kakusan import schedules
from kakusan.data import load
from kakusan.denoiser import Denoiser
from kakusan.networks import SimpleUNet
from kakusan.objective import denoising_loss, q_sample
from kakusan.parametrization import Epsilon
from kakusan.samplers import ddpm

torch.manual_seed(0)
chain = schedules.linear(1000, beta_start=1e-4, beta_end=0.02)
bars = chain.alphas_cumprod
print(f"{'index':>5}{'ᾱ':>12}{'signal %':>11}{'noise %':>11}")
for index in (0, 100, 300, 500, 700, 999):
    print(f"{index:5}{bars[index]:12.4g}{100 * bars[index]:11.3f}{100 * (1 - bars[index]):11.3f}")

x0 = load("digits").images[:16] / 127.5 - 1  # (16, 1, 8, 8), from bytes to [−1, 1]
epsilon, t = torch.randn_like(x0), chain.index_to_time(torch.full((16,), 500))  # t = 501/1000; clean data are at 0
x_t = q_sample(chain, x0, t, epsilon)  # √ᾱ·x_0 + √(1 − ᾱ)·ε
print(f"q_sample at 500: {tuple(x_t.shape)}, deviation {x_t.std():.2f}")

denoiser = Denoiser(SimpleUNet(1, 1, time_emb_dim=64, base_channels=16), chain, Epsilon())  # untrained
print(f"p_losses: {denoising_loss(denoiser, x0, t, epsilon).mean():.2f}")  # the mean square of ε − ε̂
posterior = (1 - bars[499]) / (1 - bars[500]) * chain.betas[500]
print(f"posterior variance at 500: {posterior:.5f}, of β = {chain.betas[500]:.5f}")
step = next(ddpm(denoiser, x_t, chain.index_to_time(torch.tensor([500, 499])), noise=torch.randn_like))
print(f"p_sample from 500 to {chain.time_to_index(step.t)}: {tuple(step.x.shape)}")
