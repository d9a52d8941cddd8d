"""A codec: an autoencoder as it is used, from pictures to their latents and back, whatever their size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor

from kakusan.devices import device_of
from kakusan.errors import KakusanError
from kakusan.networks.autoencoder import Autoencoder, Posterior
from kakusan.networks.mode import evaluating

_PIXELS = 2**20  # of all images that go through it at a time
_OVERLAP = 0.25  # share of a tile that it has in common with the next


@dataclass(frozen=True)
class Codec:
    """What :func:`kakusan.load_autoencoder` returns, and what a model of latents decodes with.

    Attributes:
        network: The autoencoder.
        shape: (C, H, W) of the pictures that it learned from.
        source: Where the weights came from, for people.
        images: Images that its weights had seen; 0 for one of no run.
        weights_from: ``"ema"`` or ``"raw"``; empty for one of no run.
        weights_hash: SHA-256 of the weights' file; empty for one that was never saved.
        tile: Side, in pixels, of the tiles into which larger pictures are cut; None cuts none.
        dtype: In which numbers it computes; what is no number in half of them is computed again in float32.
    """

    network: Autoencoder = field(repr=False)
    shape: tuple[int, int, int]
    source: str = ""
    images: int = 0
    weights_from: str = ""
    weights_hash: str = ""
    tile: int | None = None
    dtype: torch.dtype = torch.float32
    class_names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        self.network.latent_shape(self.shape)
        if self.tile is not None and (self.tile < 4 * self.network.factor or self.tile % self.network.factor):
            raise KakusanError(
                f"tile must be a multiple of {self.network.factor}, of {4 * self.network.factor} pixels or more, not "
                f"{self.tile}"
            )

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(L, h, w) of the latents."""
        return self.network.latent_shape(self.shape)

    @property
    def parameters(self) -> int:
        """How many weights its network has."""
        return sum(weight.numel() for weight in self.network.parameters())

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return device_of(self.network)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Posterior:
        """Returns the distribution of the latents of ``images``, in [−1, 1], shape (B, C, H, W), on its device.

        Raises:
            KakusanError: The images do not fit, or their latents are no numbers.
        """

        def moments(part: Tensor) -> Tensor:
            posterior = self.network.encode(part)
            return torch.cat([posterior.mean, posterior.log_variance], dim=1)

        found = self._computed(moments, images.to(self.device), 1 / self.network.factor, self.tile)
        return Posterior(*found.chunk(2, dim=1))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Returns images in [−1, 1], shape (B, C, H, W), of ``latents``, shape (B, L, h, w), on its device.

        Raises:
            KakusanError: Latents or images are no numbers.
        """
        if not latents.isfinite().all():
            raise KakusanError("latents are NaN or infinite (try float32, or weights from before training went wrong)")
        tile = None if self.tile is None else self.tile // self.network.factor
        images = self._computed(self.network.decode, latents.to(self.device), self.network.factor, tile)
        return images.clamp(-1, 1)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Returns what is left of ``images``, in [−1, 1], shape (B, C, H, W), once they went through the means of their
        latents; on its device."""
        return self.decode(self.encode(images).mean)

    def _computed(self, function: Callable[[Tensor], Tensor], x: Tensor, factor: float, tile: int | None) -> Tensor:
        """Returns what a function makes of ``x``, float32, that is so much wider; in tiles, where they are smaller, and
        so many at a time as their pixels leave room for."""
        pixels = math.prod(x.shape[-2:]) * max(1.0, factor) ** 2
        many = max(1, int(_PIXELS // pixels))
        with evaluating(self.network):
            return torch.cat([self._of_some(function, part, factor, tile) for part in torch.split(x, many)])

    def _of_some(self, function: Callable[[Tensor], Tensor], x: Tensor, factor: float, tile: int | None) -> Tensor:
        cut = tile is not None and max(x.shape[-2:]) > tile
        for dtype in dict.fromkeys((self.dtype, torch.float32)):
            with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                found = tiled(function, x, tile, factor) if cut and tile else function(x)
            if found.isfinite().all():
                return found.float()
        raise KakusanError(f"the autoencoder gives NaN or infinite values ({self.source or 'its weights'} are damaged)")


def tiled(function: Callable[[Tensor], Tensor], x: Tensor, tile: int, factor: float) -> Tensor:
    """Returns what a function makes of a picture, from tiles that overlap and are faded into each other.

    Args:
        function: From (B, C, h, w) to (B, D, factor·h, factor·w).
        x: The picture, shape (B, C, H, W).
        tile: The side of a tile.
        factor: By how much its results are wider.
    """
    total, weight = None, None
    whole = max(1, round(1 / factor))  # so that every tile begins where a value of the result does
    for rows, columns in product(*(_starts(size, tile, whole) for size in x.shape[-2:])):
        part = function(x[..., rows : rows + tile, columns : columns + tile])
        fade = _fade(part.shape[-2])[:, None] * _fade(part.shape[-1])
        fade = fade.to(part)
        if total is None or weight is None:
            height, width = (round(size * factor) for size in x.shape[-2:])
            total = part.new_zeros(*part.shape[:2], height, width, dtype=torch.float32)
            weight = torch.zeros(height, width, device=part.device)
        top, left = round(rows * factor), round(columns * factor)
        place = (..., slice(top, top + part.shape[-2]), slice(left, left + part.shape[-1]))
        total[place] += part * fade
        weight[place] += fade
    assert total is not None
    assert weight is not None
    return total / weight


def _starts(size: int, tile: int, whole: int) -> Iterator[int]:
    """Yields where tiles begin, multiples of ``whole``, so that each overlaps the next and the last ends where the
    picture does."""
    step = max(whole, round(tile * (1 - _OVERLAP)) // whole * whole)
    yield from range(0, max(0, size - tile), step)
    yield max(0, size - tile)


def _fade(size: int) -> Tensor:
    """Returns how much each row of a tile counts: less towards its ends."""
    width = max(1, round(size * _OVERLAP))
    ramp = torch.arange(1, size + 1).clamp(max=width) / width
    return torch.minimum(ramp, ramp.flip(0))
