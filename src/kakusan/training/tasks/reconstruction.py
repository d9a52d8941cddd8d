"""Finding images again from a few numbers: what an autoencoder learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kakusan import pictures, seeds
from kakusan.codec import Codec
from kakusan.config.models import Reconstruction as Settings
from kakusan.data.batches import Batch
from kakusan.devices import device_of, sent
from kakusan.networks.autoencoder import Posterior
from kakusan.sampling import Progress
from kakusan.seeds import Draws
from kakusan.training.task import decay_matrices_only

Perception = Callable[[Tensor, Tensor], Tensor]
"""How far two times B images in [−1, 1] look apart, shape (B,), with a gradient."""


class Reconstruction:
    r"""Trains an autoencoder. Of an image x of D values, whose latents z are drawn from the encoder's distribution q:

    .. math:: \frac{1}{D} \lVert \mathrm{decode}(z + s\,n) - x \rVert^2 + \frac{\beta}{D}\,
              \mathrm{KL}(q \,\|\, \mathcal{N}(0, 1)), \qquad n \sim \mathcal{N}(0, 1)

    with absolute values in the square's place where so configured, pixels beside an edge weighed more, and LPIPS beside
    it. The noise s·n makes the decoder forgive small errors of whatever draws latents later.

    Args:
        codec: Its network is trained in place.
        settings: What is weighed how.
        shown: Images for the preview, in [−1, 1], shape (n, C, H, W).
        perception: LPIPS, where it counts.

    Source: Kingma & Welling, 2014; β: Higgins et al., "β-VAE", 2017; perception: Rombach et al., 2022.
    """

    separable = False  # latents are brought to deviation 1 by those of the whole batch
    together = 0

    def __init__(self, codec: Codec, settings: Settings, shown: Tensor, perception: Perception | None = None) -> None:
        self.network: nn.Module = codec.network
        self._latent_shape, self._settings = codec.latent_shape, settings
        self._shown, self._perception = shown, perception

    def groups(self) -> list[dict[str, Any]]:
        return decay_matrices_only(self.network)

    def losses(self, batch: Batch, draws: Draws) -> Tensor:
        noise = sent(draws.normal("latents", self._latent_shape), batch.images.device)
        more = None
        if self._settings.latent_noise:
            more = self._settings.latent_noise * sent(draws.normal("latent noise", self._latent_shape), noise.device)
        return self._cost(batch.images, *self.network(batch.images, noise, more))

    def levels(self) -> list[float]:
        return []

    def held_out(self, network: nn.Module, batch: Batch, seed: int, numbers: Sequence[int]) -> Tensor:
        """With the same noise of every image's own each time."""
        latents = batch.images.new_empty(len(numbers), *self._latent_shape)
        noise = seeds.ImageNoise(seed, numbers, "held-out noise")(latents)
        return self._cost(batch.images, *network(batch.images, noise))[:, None]

    @torch.no_grad()
    def preview(self, network: nn.Module, progress: Progress | None = None) -> Tensor | None:
        """Draws images, and below each what is left of it once it went through its latents."""
        if not len(self._shown) or self._shown.shape[1] not in (1, 3):
            return None
        found, *_ = network(self._shown.to(device_of(network)))
        sheet = pictures.grid(torch.cat([self._shown, found.cpu().clamp(-1, 1)]), columns=len(self._shown))
        return pictures.legible(sheet, self._shown.shape[-1])

    def _cost(self, images: Tensor, found: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        apart = found.float() - images
        apart = apart.square() if self._settings.pixels == "squared" else apart.abs()
        if self._settings.edges:
            apart = apart * (1 + self._settings.edges * edges(images))
        apart = apart.flatten(1)
        cost = apart.mean(1)
        nats = Posterior(mean.float(), log_variance.float()).divergence()
        cost = cost + self._settings.kl_weight * nats / apart.shape[1]
        if self._perception is None:
            return cost
        return cost + self._settings.perceptual * self._perception(found, images)


def edges(images: Tensor) -> Tensor:
    """Returns where neighbouring pixels differ, from 0 to 1, where they do by 1 or more in some channel.

    Args:
        images: In [−1, 1], shape (B, C, H, W).

    Returns:
        Shape (B, 1, H, W).
    """
    found = torch.zeros_like(images[:, :1])
    for axis in (2, 3):
        differ = images.diff(dim=axis).abs().amax(1, keepdim=True).clamp(max=1)
        for first in (0, 1):  # both pixels lie beside it
            side = found.narrow(axis, first, differ.shape[axis])
            side.copy_(torch.maximum(side, differ))
    return found
