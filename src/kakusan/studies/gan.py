"""A small generative adversarial network, trained in a short loop: two optimizers take turns, as in no task here."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

from kakusan import seeds
from kakusan.data.batches import ImageBatches
from kakusan.progress import Bar
from kakusan.seeds import Draws

LATENT = 32  # numbers that a picture is made from
_WIDTH = 64
_BATCH = 64
_RATE, _BETAS = 1e-3, (0.0, 0.99)
_PENALTY = 1.0  # γ of R1
_AVERAGE = 0.995
_PACE = 20  # steps, of which a pace is found


class Generator(nn.Module):
    """Maps LATENT numbers to a picture: a linear layer to 4×4 or less, and convolutions that double it.

    Args:
        shape: (C, H, W) of the pictures.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        doublings = 0
        while min(height, width) % 2 == 0 and min(height, width) > 4:
            height, width, doublings = height // 2, width // 2, doublings + 1
        self._start = (_WIDTH, height, width)
        layers: list[nn.Module] = []
        for _ in range(doublings):
            layers += [nn.Upsample(scale_factor=2), *_convolution(_WIDTH, _WIDTH)]
        self.first = nn.Linear(LATENT, _WIDTH * height * width)
        self.body = nn.Sequential(
            nn.SiLU(), *_convolution(_WIDTH, _WIDTH), *layers, nn.Conv2d(_WIDTH, channels, 3, padding=1)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Returns pictures in (−1, 1), shape (B, C, H, W), of numbers, shape (B, LATENT)."""
        images: Tensor = self.body(self.first(z).unflatten(1, self._start)).tanh()
        return images


class Discriminator(nn.Module):
    """Tells real pictures from made ones: a logit each.

    Args:
        shape: (C, H, W) of the pictures.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        layers: list[nn.Module] = [spectral_norm(nn.Conv2d(channels, _WIDTH, 3, padding=1)), nn.LeakyReLU(0.2)]
        while min(height, width) > 2:
            layers += [spectral_norm(nn.Conv2d(_WIDTH, _WIDTH, 3, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            height, width = (height + 1) // 2, (width + 1) // 2
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(_WIDTH * height * width, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, shape (B,)."""
        logits: Tensor = self.body(images).flatten()
        return logits


def train(batches: ImageBatches, steps: int, seed: int, device: torch.device, show: bool = True) -> Generator:
    """Returns the averaged generator of a training.

    Args:
        batches: Real images.
        steps: How long.
        seed: Everything random follows from it.
        device: Where.
        show: Whether to show progress.

    Source: Goodfellow et al., "Generative Adversarial Nets", 2014, with the non-saturating loss; Mescheder et al.,
    "Which Training Methods for GANs do actually Converge?", 2018, for the penalty R1.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "gan"))
        generator, average = (Generator(batches.shape).to(device) for _ in range(2))
        discriminator = Discriminator(batches.shape).to(device)
        average.load_state_dict(generator.state_dict())
        with Bar("training a GAN", steps, show=show) as bar:
            for step, _ in enumerate(_taken(generator, average, discriminator, batches, steps, seed, device)):
                bar.update(step + 1)
    return average.eval().requires_grad_(False)


def seconds_a_step(batches: ImageBatches, device: torch.device) -> float:
    """Returns how long a step takes, from some at the beginning of a training of which nothing is kept."""
    train(batches, _PACE, 0, device, show=False)
    started = time.perf_counter()
    train(batches, _PACE, 0, device, show=False)
    return (time.perf_counter() - started) / _PACE


def _taken(
    generator: Generator,
    average: Generator,
    discriminator: Discriminator,
    batches: ImageBatches,
    steps: int,
    seed: int,
    device: torch.device,
) -> Iterator[None]:
    """Takes steps, each one of the discriminator and one of the generator."""
    both = [torch.optim.Adam(network.parameters(), _RATE, _BETAS) for network in (discriminator, generator)]
    for step in range(steps):
        draws = Draws(seed, step, _BATCH)
        real = batches(draws, device).images.requires_grad_()
        z = draws.normal("gan", (LATENT,)).to(device)
        told = discriminator(real)
        (slope,) = torch.autograd.grad(told.sum(), real, create_graph=True)
        penalty = _PENALTY / 2 * slope.square().sum((1, 2, 3)).mean()
        judged = softplus(-told).mean() + softplus(discriminator(generator(z).detach())).mean()
        _descend(both[0], judged + penalty)
        _descend(both[1], softplus(-discriminator(generator(z))).mean())
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 1 - _AVERAGE)
        yield


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()


def _convolution(channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out_channels, 3, padding=1), nn.GroupNorm(8, out_channels), nn.SiLU()]
