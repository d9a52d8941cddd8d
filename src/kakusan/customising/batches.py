"""Batches of latents, each with the prompt that its image goes with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kakusan.config import models as config
from kakusan.customising.buckets import BucketBatches
from kakusan.customising.customised import encode
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet
from kakusan.data.latents import LatentBatches
from kakusan.data.order import batch_indices
from kakusan.networks.autoencoder import Posterior
from kakusan.pictures import from_uint8
from kakusan.seeds import Draws
from kakusan.stable_diffusion import TextToImage


class CustomBatches(LatentBatches):
    """Latents of images of one's own, and of their kind in turn: the clock of the images seen decides, so that a batch
    may be parted as one likes.

    Args:
        images: All of them, those of the kind last.
        pairs: Which image goes with which prompt, int64, shape (M, 2): as often as that shall be seen, and those of the
            kind last.
        views: Their latents, as in :class:`LatentBatches`.
        shape: (L, h, w) of the latents.
        prior: How many of the pairs are of the kind.
        among: Numbers of the pairs to serve; None for all.
    """

    pairs: Tensor

    def __init__(
        self,
        images: ImageSet,
        pairs: Tensor,
        views: Sequence[Posterior],
        shape: tuple[int, int, int],
        prior: int = 0,
        among: Tensor | None = None,
    ) -> None:
        super().__init__(images, views, shape, among, pairs=pairs)
        self._prior = prior

    @property
    def own(self) -> Tensor:
        served = self.numbers
        return served[served < len(self.pairs) - self._prior]

    def only(self, among: Tensor) -> CustomBatches:
        return CustomBatches(self.images, self.pairs, self._views, self._latent_shape, self._prior, among)

    def indices(self, draws: Draws) -> Tensor:
        served, own = self.numbers, self.own
        turns = (own, served[len(own) :])
        if not len(turns[1]):
            return super().indices(draws)
        clock = torch.arange(draws.step * draws.count, (draws.step + 1) * draws.count)
        found = torch.empty_like(clock)
        for turn, those in enumerate(turns):
            now = clock % 2 == turn
            if now.any():
                first = int(clock[now][0]) // 2
                found[now] = those[batch_indices(draws.seed, first, int(now.sum()), len(those))]
        return found[draws.share]


def batches_of(
    settings: config.Config,
    base: TextToImage,
    images: ImageSet,
    shaped: Sequence[Tensor],
    pairs: Tensor,
    kinds: range,
    prior: Tensor | None,
) -> ImageBatches:
    """Returns what a training is fed with: every image as often as it has prompts, held and encoded once.

    Args:
        settings: Whether images are mirrored.
        base: Whose autoencoder encodes.
        images: One's own.
        shaped: The same, at the sizes at which they are learned.
        pairs: Which of them goes with which prompt, int64, shape (M, 2).
        kinds: The prompts of the kind, with one of which each image of it goes in turn.
        prior: Images of the kind, all of one size with the others; None for none.
    """
    if prior is not None:
        numbers = torch.arange(len(prior))
        theirs = torch.stack([len(images) + numbers, kinds.start + numbers % len(kinds)], 1)
        everything = ImageSet(torch.cat([images.images, prior]), name=images.name)
        return _encoded(settings, base, everything, torch.cat([pairs, theirs]), len(prior))
    sizes = list(dict.fromkeys(it.shape for it in shaped))
    if sizes == [images.images.shape[1:]]:
        return _encoded(settings, base, images, pairs)
    members, parts = [], []
    for size in sizes:
        own = torch.tensor([number for number, it in enumerate(shaped) if it.shape == size])
        among = torch.isin(pairs[:, 0], own).nonzero()[:, 0]
        within = ImageSet(torch.stack([shaped[number] for number in own]), name=images.name)
        members.append(among)
        part = torch.stack([torch.searchsorted(own, pairs[among, 0]), pairs[among, 1]], 1)
        parts.append(_encoded(settings, base, within, part))
    return BucketBatches(images, pairs, members, parts)


def _encoded(
    settings: config.Config, base: TextToImage, images: ImageSet, pairs: Tensor, prior: int = 0
) -> CustomBatches:
    """Returns batches of images of one size."""
    views = []
    for mirrored in (False, True)[: 1 + settings.data.flip]:
        found = encode(base, from_uint8(images.images.flip(3) if mirrored else images.images))
        views.append(Posterior(found.mean.flatten(1), found.log_variance.flatten(1)))
    shape = found.mean.shape[1:]
    return CustomBatches(images, pairs, views, (shape[0], shape[1], shape[2]), prior)
