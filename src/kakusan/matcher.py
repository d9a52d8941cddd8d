"""A matcher: a CLIP as it is used, that says how well pictures and captions belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from kakusan.devices import device_of
from kakusan.errors import KakusanError
from kakusan.networks import CLIP
from kakusan.networks.mode import evaluating
from kakusan.words import Words

_CHUNK = 256  # pictures or captions at a time


@dataclass(frozen=True)
class Matcher:
    """What :func:`kakusan.load_clip` returns, and what guidance by CLIP asks.

    Attributes:
        network: The CLIP.
        shape: (C, H, W) of the pictures that it sees.
        words: The vocabulary of the captions that it reads.
        source: Where the weights came from, for people.
        images: Images that its weights had seen; 0 for one of no run.
        weights_from: ``"ema"`` or ``"raw"``; empty for one of no run.
        weights_hash: SHA-256 of the weights' file; empty for one that was never saved.
    """

    network: CLIP = field(repr=False)
    shape: tuple[int, int, int]
    words: Words
    source: str = ""
    images: int = 0
    weights_from: str = ""
    weights_hash: str = ""
    class_names: ClassVar[tuple[str, ...]] = ()

    @property
    def parameters(self) -> int:
        """How many weights its network has."""
        return sum(weight.numel() for weight in self.network.parameters())

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return device_of(self.network)

    @torch.no_grad()
    def of_captions(self, captions: Sequence[str]) -> Tensor:
        """Returns unit vectors, shape (M, D), of captions."""
        words = self.words(captions).to(self.device)
        with evaluating(self.network):
            return torch.cat([self.network.of_words(part) for part in torch.split(words, _CHUNK)])

    def similarity(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """Returns the cosine of every image and every caption, shape (N, M), with a gradient to the images.

        Args:
            images: In [−1, 1], shape (N, C, H, H).
            captions: M of them.

        Raises:
            KakusanError: The images are of another shape.
        """
        told = self.of_captions(captions)
        with evaluating(self.network):
            seen = [self.network.of_images(part) for part in torch.split(images.to(self.device), _CHUNK)]
        return torch.cat(seen) @ told.T

    def agreement(self, images: Tensor, captions: Sequence[str] | Tensor) -> Tensor:
        """Returns the cosine of each image and its own caption, shape (N,), with a gradient to the images.

        Args:
            images: In [−1, 1], shape (N, C, H, H).
            captions: As many, or what :meth:`of_captions` made of them.

        Raises:
            KakusanError: The images are of another shape, or there are not as many captions.
        """
        if len(images) != len(captions):
            raise KakusanError(f"{len(images)} images have {len(images)} captions, not {len(captions)}")
        told = captions if isinstance(captions, Tensor) else self.of_captions(captions)
        with evaluating(self.network):
            return (self.network.of_images(images.to(self.device)) * told).sum(1)

    def ranked(self, images: Tensor, caption: str) -> Tensor:
        """Returns the numbers of images, shape (N,), from the one that agrees best with a caption to the worst."""
        with torch.no_grad():
            return self.similarity(images, [caption])[:, 0].argsort(descending=True)
