"""Sections 4.3.3 and 4.4: your SimpleUNet draws here: `python examples/textbook_checkpoint.py unet.pth samples.png`"""

import sys

import torch

import kakusan
from kakusan import pictures
from kakusan.interop.textbook import denoiser_from_textbook
from kakusan.networks import SimpleUNet

path, picture = [*sys.argv[1:], None, None][:2]  # without a checkpoint the weights are untrained, the pictures noise
try:
    weights = torch.load(path, "cpu", weights_only=True) if path else SimpleUNet(3, 3, 128, 32).state_dict()
    base, channels = weights["down1.conv1.weight"].shape[:2]
    network = SimpleUNet(channels, channels, len(weights["time_mlp.1.bias"]), base)
    network.load_state_dict(weights)  # the names are the textbook's own
except Exception as error:
    mend = "give a file written by torch.save(model.state_dict(), …)"
    sys.exit(f"cannot load a SimpleUNet from {path} ({type(error).__name__}): {mend}")
count = sum(weight.numel() for weight in weights.values())
print(f"SimpleUNet: {count:,} parameters, base {base}, {channels} channels")

# The betas must be those that it was trained with.
denoiser = denoiser_from_textbook(network, kakusan.schedules.linear(1000).betas)
images = kakusan.sample(denoiser, n=4, shape=(channels, 32, 32), steps=20, threshold="clip", seed=0)  # by DDIM
print(f"samples: {tuple(images.shape)} from {images.min():.2f} to {images.max():.2f}")
if picture:
    pictures.save(picture, pictures.grid(images))
