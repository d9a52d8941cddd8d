"""Whether samples are copies: how near each lies to a real image, beside how near real images lie to each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

_ROWS = 500  # of a matrix of distances at a time
_RARE = 0.01
_SAME = 1e-4  # of the median distance: what rounding leaves between images that are the same


@dataclass(frozen=True, eq=False)
class Nearest:
    """The real image that is nearest to each sample.

    Attributes:
        indices: Which it is, int64, shape (n,).
        distances: How far it lies, shape (n,).
        real: Features of the real images, shape (N, D).
    """

    indices: Tensor
    distances: Tensor
    real: Tensor

    @cached_property
    def threshold(self) -> float:
        """Nearer than which one real image in a hundred lies to another; copies of one another do not count."""
        among, _ = _nearest(self.real, self.real, apart=True)
        different = among[among > _SAME * among.median()]
        return different.double().quantile(_RARE).item() if len(different) else 0.0

    @property
    def copies(self) -> Tensor:
        """Which samples lie nearer to a real image than the threshold, bool, shape (n,)."""
        return self.distances < self.threshold


def nearest(samples: Tensor, real: Tensor) -> Nearest:
    """Returns the nearest real image of every sample.

    Args:
        samples: Features, shape (n, D).
        real: Features, shape (N, D), N ≥ 2.
    """
    distances, indices = _nearest(samples, real, apart=False)
    return Nearest(indices, distances, real)


def _nearest(samples: Tensor, real: Tensor, apart: bool) -> tuple[Tensor, Tensor]:
    """Returns the smallest distance of every row and where it is; ``apart`` from itself, where both are one set."""
    distances, indices = [], []
    for start in range(0, len(samples), _ROWS):
        part = samples[start : start + _ROWS]
        apartness = torch.cdist(part, real)
        if apart:
            rows = torch.arange(len(part))
            apartness[rows, rows + start] = math.inf
        indices.append(apartness.argmin(1))
        # Out of a product of matrices small distances come with a large error; of the one that counts, without.
        distances.append((part - real[indices[-1]]).norm(dim=1))
    return torch.cat(distances), torch.cat(indices)
