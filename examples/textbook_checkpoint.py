"""Sections 4.3.3 and 4.4: a checkpoint of the textbook's SimpleUNet, drawn from by our samplers.

It takes seconds: `python examples/textbook_checkpoint.py unet.pth samples.png`. Without a name for the pictures none
are written; without a checkpoint it makes one of untrained weights, whose pictures are noise.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import kakusan
from kakusan import pictures
from kakusan.interop.textbook import denoiser_from_textbook
from kakusan.networks import SimpleUNet

with TemporaryDirectory() as directory:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else f"{directory}/unet.pth")
    if len(sys.argv) == 1:
        torch.save(SimpleUNet(3, 3, time_emb_dim=128, base_channels=32).state_dict(), path)
    weights = torch.load(path, map_location="cpu", weights_only=True)

base, channels = weights["down1.conv1.weight"].shape[:2]
network = SimpleUNet(channels, channels, len(weights["time_mlp.1.bias"]), base)
network.load_state_dict(weights)  # the names are the textbook's own
print(
    f"{path.name}: {sum(weight.numel() for weight in weights.values()):,} parameters, base {base}, {channels} channels"
)

# The betas must be those that it was trained with.
denoiser = denoiser_from_textbook(network, kakusan.schedules.linear(1000).betas)
images = kakusan.sample(denoiser, n=4, shape=(channels, 32, 32), sampler="ddim", steps=20, threshold="clip", seed=0)
print(f"samples: {tuple(images.shape)} from {images.min():.2f} to {images.max():.2f}")
if len(sys.argv) > 2:
    pictures.save(sys.argv[2], pictures.grid(images))
