"""What a report draws: tensors with what they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from kakusan.closed_form import GaussianMixture
from kakusan.results import Measurement


@dataclass(frozen=True, eq=False)
class Mixture:
    """What became of points of a mixture of two modes on a line, at the chain's T + 1 times t = 0, 1/T, …, 1.

    Attributes:
        truth: The mixture, with a chain of T ≥ 50 steps for its schedule.
        forward: Points under more and more noise, shape (T + 1, n).
        exact: Points walked back by the exact denoiser, shape (T + 1, n).
        learned: Points walked back by a trained network, shape (T + 1, n).
    """

    truth: GaussianMixture
    forward: Tensor
    exact: Tensor
    learned: Tensor


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Samples and what lies nearest to them; distances are Euclidean over all values of a picture.

    Attributes:
        samples: Values in [-1, 1], shape (n, C, H, W).
        nearest: The training image nearest to each, shape (n, C, H, W).
        distances: How far it is, shape (n,).
        real: How far some real images are from the nearest other one, shape (m,).
    """

    samples: Tensor
    nearest: Tensor
    distances: Tensor
    real: Tensor


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """Images that went through the latents of an autoencoder.

    Attributes:
        images, found: Before and after, values in [-1, 1], shape (n, C, H, W).
        latent_shape: (L, h, w).
        held_out: Whether they were kept out of training.
        measured: How far apart these and others are, by metric.
    """

    images: Tensor
    found: Tensor
    latent_shape: tuple[int, int, int]
    held_out: bool
    measured: Mapping[str, Measurement]

    @property
    def latents_numel(self) -> int:
        """How many numbers the latents of one image are."""
        return math.prod(self.latent_shape)


@dataclass(frozen=True, eq=False)
class Moment:
    """One moment of a walk.

    Attributes:
        t: Its time.
        x: The picture there, (C, H, W).
        x0: The clean picture that was predicted on the way there, (C, H, W).
    """

    t: float
    x: Tensor
    x0: Tensor
