"""Section 4.4.1: training in plain sight, then samples: `python examples/training_loop.py samples.png`"""

import sys

import torch
from torch.utils.data import DataLoader

import kakusan
from kakusan import pictures
from kakusan.data import load
from kakusan.denoiser import Denoiser
from kakusan.networks import SimpleUNet
from kakusan.objective import denoising_loss
from kakusan.parametrization import Epsilon

torch.manual_seed(0)
loader = DataLoader(pictures.from_uint8(load("digits").images), batch_size=128, shuffle=True)
chain = kakusan.schedules.linear(1000)
denoiser = Denoiser(SimpleUNet(1, 1, time_emb_dim=64, base_channels=16), chain, Epsilon())
optimizer = torch.optim.AdamW(denoiser.parameters(), lr=1e-3)

for epoch in range(1, 5):  # far too few; `kakusan train digits` is this loop with what makes a model good
    total = 0.0
    for x0 in loader:
        t = chain.index_to_time(torch.randint(chain.steps, (len(x0),)))
        losses = denoising_loss(denoiser, x0, t, torch.randn_like(x0))  # one an image
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        total += losses.sum().item()
    print(f"epoch {epoch}: loss {total / len(loader.dataset):.4f}")

images = kakusan.sample(denoiser, n=16, shape=(1, 8, 8), steps=50, threshold="clip", seed=0)  # by DDIM
print(f"samples: {tuple(images.shape)} from {images.min():.2f} to {images.max():.2f}")
if len(sys.argv) > 1:
    pictures.save(sys.argv[1], pictures.enlarge(pictures.grid(images), 8))
