"""Batches of latents in the place of images: drawn anew each time from what an autoencoder made of every image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kakusan.data.batches import Batch, ImageBatches
from kakusan.data.images import ImageSet
from kakusan.devices import sent
from kakusan.networks.autoencoder import Posterior
from kakusan.seeds import Draws


class LatentBatches(ImageBatches):
    """Which images, which of them are mirrored, and which of an image's latents are drawn follows from the seed and the
    step.

    Args:
        images: The set.
        views: The distribution of the latents of all images as they are, and where they are seen mirrored of all mirror
            images; mean and log-variance of shape (N, L·h·w), perhaps mapped from a disk.
        shape: (L, h, w) of the latents.
        among, words, pairs: As in :class:`ImageBatches`.
    """

    def __init__(
        self,
        images: ImageSet,
        views: Sequence[Posterior],
        shape: tuple[int, int, int],
        among: Tensor | None = None,
        words: Tensor | None = None,
        pairs: Tensor | None = None,
    ) -> None:
        super().__init__(images, len(views) > 1, among, words, pairs)
        self._views, self._latent_shape = tuple(views), shape

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._latent_shape

    def only(self, among: Tensor) -> LatentBatches:
        return LatentBatches(self.images, self._views, self._latent_shape, among, self.words, self.pairs)

    def __call__(self, draws: Draws, device: torch.device) -> Batch:
        indices = self.indices(draws)
        posterior = self._posterior(indices, self._views[0])
        if self.flips:
            mirrored = draws.chance("flip", 0.5)[:, None, None, None]
            other = self._posterior(indices, self._views[1])
            posterior = Posterior(
                torch.where(mirrored, other.mean, posterior.mean),
                torch.where(mirrored, other.log_variance, posterior.log_variance),
            )
        latents = posterior.sample(draws.normal("latents", self._latent_shape))
        return self._told(sent(latents, device), indices, device)

    def at(self, indices: Tensor, device: torch.device) -> Batch:
        """Returns the mean latents of images by number, int64, shape (B,), on ``device``."""
        return self._told(sent(self._posterior(indices, self._views[0]).mean, device), indices, device)

    def _posterior(self, indices: Tensor, view: Posterior) -> Posterior:
        shape, places = (len(indices), *self._latent_shape), self._places(indices)
        return Posterior(view.mean[places].view(shape), view.log_variance[places].view(shape))
