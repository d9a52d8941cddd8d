"""What a reader of a textbook has written: a chain in plain tensors, its loop of sampling, and a U-Net in plain torch.

Independent of the library on purpose, so that ours can be held against it.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class DDPM:
    """The chain and the way back along it, by index: Ho, Jain & Abbeel, 2020, algorithm 2."""

    def __init__(self, betas: Tensor) -> None:
        self.betas = betas
        self.alphas = 1 - betas
        self.bars = torch.cumprod(self.alphas, 0)
        before = functional.pad(self.bars[:-1], (1, 0), value=1.0)
        self.posterior_variance = betas * (1 - before) / (1 - self.bars)

    @torch.no_grad()
    def p_sample(self, model: nn.Module, x: Tensor, index: int, noise) -> Tensor:
        t = torch.full((len(x),), index, dtype=torch.long)
        mean = (x - self.betas[index] / (1 - self.bars[index]).sqrt() * model(x, t)) / self.alphas[index].sqrt()
        return mean if index == 0 else mean + self.posterior_variance[index].sqrt() * noise(x)

    def p_sample_loop(self, model: nn.Module, x: Tensor, noise) -> Tensor:
        for index in reversed(range(len(self.betas))):
            x = self.p_sample(model, x, index, noise)
        return x


class Table(nn.Module):
    """A model that looks its time up in a table, which only whole numbers can be."""

    def __init__(self, steps: int, channels: int) -> None:
        super().__init__()
        self.time = nn.Embedding(steps, channels)
        self.layer = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(self.layer(x) + self.time(t)[:, :, None, None])


class Waves(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.frequencies = torch.exp(-torch.arange(half) * math.log(1e4) / (half - 1))

    def forward(self, t: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Block(nn.Module):
    def __init__(self, before: int, after: int, width: int) -> None:
        super().__init__()
        self.time_mlp = nn.Linear(width, after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm1 = nn.GroupNorm(8, after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, after)
        self.residual_conv = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.norm1(self.conv1(x)) + self.time_mlp(functional.silu(time))[..., None, None]
        h = self.norm2(self.conv2(functional.silu(h)))
        return functional.silu(h) + self.residual_conv(x)


class UNet(nn.Module):
    def __init__(self, channels: int, width: int, c: int) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(Waves(width), nn.Linear(width, width), nn.SiLU())
        self.down1, self.down2, self.down3 = (
            Block(channels, c, width),
            Block(c, 2 * c, width),
            Block(2 * c, 4 * c, width),
        )
        self.bottleneck = Block(4 * c, 4 * c, width)
        self.pool = nn.MaxPool2d(2)
        self.up1, self.up2, self.up3 = (nn.ConvTranspose2d(k * c, k * c, 2, 2) for k in (4, 2, 1))
        self.up_block1, self.up_block2 = Block(8 * c, 2 * c, width), Block(4 * c, c, width)
        self.up_block3 = Block(2 * c, c, width)
        self.out = nn.Conv2d(c, channels, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time_mlp(t)
        skips = []
        for down in (self.down1, self.down2, self.down3):
            x = down(x, time)
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck(x, time)
        for up, block in ((self.up1, self.up_block1), (self.up2, self.up_block2), (self.up3, self.up_block3)):
            x = block(torch.cat([up(x), skips.pop()], dim=1), time)
        return self.out(x)
