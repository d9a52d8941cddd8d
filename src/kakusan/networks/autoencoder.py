"""An autoencoder whose latents are a small, noisy picture: the space in which latent diffusion works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakusan.collectives import processes, summed
from kakusan.errors import KakusanError
from kakusan.networks.blocks import Attention, Downsample, ResidualBlock, Stage, Upsample
from kakusan.networks.sizes import check_images, most_groups

_LOG_VARIANCE = (-30.0, 20.0)  # between which exp neither vanishes nor overflows
_HALF_LIFE = 1_000  # images, after which those in the measured shift and scale count half
_CERTAIN = -6.0  # log-variance of latents to begin with: drowned in their own noise, nothing is learned for long
_EPS = 1e-6  # added to every variance, as diffusers has it


@dataclass(frozen=True)
class Posterior:
    """What an encoder makes of images: a normal distribution of every value of their latents.

    Attributes:
        mean, log_variance: Shape (B, L, h, w).
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Returns latents drawn by standard normal ``noise``, shape (B, L, h, w)."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self) -> Tensor:
        """Returns the Kullback-Leibler divergence from the standard normal distribution, an image: nats, shape (B,).

        Source: Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, appendix B.
        """
        each = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        return 0.5 * each.flatten(1).sum(1)


class Autoencoder(nn.Module):
    """Maps images to the distribution of their latents, and latents back to images.

    Latents are a picture of ``latent_channels`` channels, shrunk by ``factor``, of which what is drawn has mean 0 and
    deviation 1 in every channel, over the data: while learning the moments of a batch, of all processes together, bring
    it there, later those measured on the way, which are a part of the weights. Whatever learns in this space need not
    know where the encoder itself would put it; and for the divergence only the logarithm of the variance is left, so
    that a channel of no use costs nothing.

    Its weights convert to and from diffusers' ``AutoencoderKL`` (:mod:`kakusan.interop.autoencoders`).

    Args:
        in_channels: Channels of the images, in [−1, 1].
        latent_channels: Channels of the latents.
        channels: Channels at each resolution, the full one first; each further level halves height and width.
        blocks: Residual blocks a level of the encoder; one more in the decoder.
        middle_attention: Whether there is attention between the two blocks at the bottom.
        groups: Groups of every normalisation; the most that fit, up to 32, unless given.

    Raises:
        KakusanError: A number is out of its range, or groups do not divide the channels.

    Attributes:
        shift, scale: Of raw latents: (raw − shift) · scale is what :meth:`encode` gives; shape (L, 1, 1).

    Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022; the network
    has the form of the one published with it.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        in_channels: int,
        *,
        latent_channels: int = 4,
        channels: Sequence[int] = (64, 128),
        blocks: int = 1,
        middle_attention: bool = True,
        groups: int | None = None,
    ) -> None:
        super().__init__()
        for name, number in {"in_channels": in_channels, "latent_channels": latent_channels, "blocks": blocks}.items():
            if number < 1:
                raise KakusanError(f"{name} must be at least 1, not {number}")
        if not channels or min(channels) < 2:
            raise KakusanError(
                f"channels must name at least one level, each of 2 channels or more, not {tuple(channels)}"
            )
        self.in_channels, self.latent_channels, self.channels = in_channels, latent_channels, tuple(channels)
        self.blocks, self.middle_attention = blocks, middle_attention
        self.groups = most_groups(self.channels) if groups is None else groups
        if self.groups < 1 or any(width % self.groups for width in self.channels):
            raise KakusanError(
                f"groups must divide all of channels {self.channels}, which {self.groups} does not: "
                f"{most_groups(self.channels)} fits"
            )
        self.encoder, self.decoder = self._encoder(), self._decoder()
        self.quantize = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        with torch.no_grad():
            self.quantize.bias[latent_channels:] = _CERTAIN  # type: ignore[index] # it has one
        self.dequantize = nn.Conv2d(latent_channels, latent_channels, 1)
        self.register_buffer("shift", torch.zeros(latent_channels, 1, 1))
        self.register_buffer("scale", torch.ones(latent_channels, 1, 1))

    @property
    def factor(self) -> int:
        """By how much latents are narrower than images."""
        return int(2 ** (len(self.channels) - 1))

    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Returns the shape (L, h, w) of the latents of images of a ``shape``, (C, H, W).

        Raises:
            KakusanError: The images do not fit.
        """
        check_images(torch.empty(1, *shape, device="meta"), self.in_channels, self.factor)
        return self.latent_channels, shape[1] // self.factor, shape[2] // self.factor

    def encode(self, images: Tensor) -> Posterior:
        """Returns the distribution of the latents of ``images``, in [−1, 1], shape (B, C, H, W).

        Raises:
            KakusanError: The images do not fit.
        """
        check_images(images, self.in_channels, self.factor)
        mean, log_variance = self.quantize(self.encoder(images)).chunk(2, dim=1)
        log_variance = log_variance.clamp(*_LOG_VARIANCE)
        shift, scale = self._measured(mean, log_variance) if self.training else (self.shift, self.scale)
        return Posterior((mean - shift) * scale, log_variance + 2 * scale.log())

    def decode(self, latents: Tensor) -> Tensor:
        """Returns images, about in [−1, 1], shape (B, C, H, W), of ``latents``, shape (B, L, h, w)."""
        images: Tensor = self.decoder(self.dequantize(latents / self.scale + self.shift))
        return images

    def forward(self, images: Tensor, noise: Tensor | None = None, more: Tensor | None = None) -> tuple[Tensor, ...]:
        """Returns images that went through their latents, and the distribution of these: its mean, its log-variance.

        Args:
            images: In [−1, 1], shape (B, C, H, W).
            noise: Standard normal, shape (B, L, h, w), by which latents are drawn; without it they are the mean.
            more: What is added to the latents besides, shape (B, L, h, w).
        """
        posterior = self.encode(images)
        latents = posterior.mean if noise is None else posterior.sample(noise)
        return self.decode(latents if more is None else latents + more), posterior.mean, posterior.log_variance

    def _measured(self, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what brings draws of a batch's raw latents to mean 0 and deviation 1, and moves the measured ones
        there."""
        mean = mean.float()
        square = mean.square() + log_variance.float().exp()
        moments = summed(torch.stack([mean.mean((0, 2, 3)), square.mean((0, 2, 3))])) / processes()
        first, second = moments[..., None, None]
        shift, scale = first, (second - first.square()).clamp(min=0).add(_EPS).rsqrt()
        with torch.no_grad():
            forgotten = 1 - 0.5 ** (len(mean) * processes() / _HALF_LIFE)
            self.shift.lerp_(shift.to(self.shift), forgotten)
            self.scale.lerp_(scale.to(self.scale), forgotten)
        return shift, scale

    def _encoder(self) -> nn.Module:
        first, last = self.channels[0], self.channels[-1]
        before = (first, *self.channels[:-1])
        levels = [
            Level(
                [self._stage(before[level] if i == 0 else width, width) for i in range(self.blocks)],
                downsample=Downsample(width) if level < len(self.channels) - 1 else None,
            )
            for level, width in enumerate(self.channels)
        ]
        return Encoder(
            nn.Conv2d(self.in_channels, first, 3, padding=1),
            levels,
            self._middle(),
            *self._end(last, 2 * self.latent_channels),
        )

    def _decoder(self) -> nn.Module:
        widths = self.channels[::-1]
        before = (widths[0], *widths[:-1])
        levels = [
            Level(
                [self._stage(before[level] if i == 0 else width, width) for i in range(self.blocks + 1)],
                upsample=Upsample(width) if level < len(widths) - 1 else None,
            )
            for level, width in enumerate(widths)
        ]
        return Decoder(
            nn.Conv2d(self.latent_channels, widths[0], 3, padding=1),
            levels,
            self._middle(),
            *self._end(widths[-1], self.in_channels),
        )

    def _middle(self) -> nn.ModuleList:
        last = self.channels[-1]
        return nn.ModuleList([self._stage(last, last, attention=self.middle_attention), self._stage(last, last)])

    def _stage(self, in_channels: int, out_channels: int, *, attention: bool = False) -> Stage:
        residual = ResidualBlock(in_channels, out_channels, groups=self.groups, eps=_EPS)
        attends = Attention(out_channels, heads=1, groups=self.groups, eps=_EPS) if attention else None
        return Stage(residual, attends)

    def _end(self, width: int, out_channels: int) -> tuple[nn.Module, nn.Module]:
        norm = nn.GroupNorm(self.groups, width, eps=_EPS)
        return norm, nn.Conv2d(width, out_channels, 3, padding=1)


class Level(nn.Module):
    """Stages at one resolution, then half of it, or twice."""

    def __init__(
        self, stages: Sequence[Stage], *, downsample: Downsample | None = None, upsample: Upsample | None = None
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.downsample, self.upsample = downsample, upsample

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        for resample in (self.downsample, self.upsample):
            x = x if resample is None else resample(x)
        return x


class Encoder(nn.Module):
    """Levels on the way down, the middle, and the moments of the latents."""

    def __init__(
        self, start: nn.Module, levels: Sequence[Level], middle: nn.ModuleList, norm: nn.Module, end: nn.Module
    ) -> None:
        super().__init__()
        self.input, self.down, self.middle = start, nn.ModuleList(levels), middle
        self.output_norm, self.output = norm, end

    def forward(self, images: Tensor) -> Tensor:
        h = self.input(images)
        for part in (*self.down, *self.middle):
            h = part(h)
        moments: Tensor = self.output(functional.silu(self.output_norm(h)))
        return moments


class Decoder(nn.Module):
    """The middle, levels on the way up, and the pixels."""

    def __init__(
        self, start: nn.Module, levels: Sequence[Level], middle: nn.ModuleList, norm: nn.Module, end: nn.Module
    ) -> None:
        super().__init__()
        self.input, self.middle, self.up = start, middle, nn.ModuleList(levels)
        self.output_norm, self.output = norm, end

    def forward(self, latents: Tensor) -> Tensor:
        h = self.input(latents)
        for part in (*self.middle, *self.up):
            h = part(h)
        images: Tensor = self.output(functional.silu(self.output_norm(h)))
        return images
