"""Whether samples are copies: how near each lies to a real image, beside how near real images lie to each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kakusan import seeds

_ROWS, _COLUMNS = 500, 5_000  # of a matrix of distances at a time
_ASKED = 5_000  # real images for how far they lie from others: a hundredth of them is known well enough
_RARE = 0.01
_SAME = 1e-4  # of the median distance: what rounding leaves between images that are the same


@dataclass(frozen=True, eq=False)
class Nearest:
    """The real image that is nearest to each sample.

    Attributes:
        indices: Which it is, int64, shape (n,).
        distances: How far it lies, shape (n,).
        views: In which view of the real images, int64, shape (n,).
    """

    indices: Tensor
    distances: Tensor
    views: Tensor

    def copies(self, near: float) -> float:
        """Returns the share of samples that lie nearer to a real image than ``near``."""
        return (self.distances < near).double().mean().item()


def nearest(samples: Tensor, *views: Tensor) -> Nearest:
    """Returns the nearest real image of every sample.

    Args:
        samples: Features, shape (n, D).
        views: Features of the real images, shape (N, D) each: as they are, mirrored.
    """
    indices, distances = zip(*(_nearest(samples, view) for view in views), strict=True)
    least = torch.stack(distances).min(0)
    return Nearest(torch.stack(indices).gather(0, least.indices[None])[0], least.values, least.indices)


def threshold(real: Tensor) -> float:
    """Returns how near to another one real image in a hundred lies; copies of one another do not count.

    Args:
        real: Features, shape (N, D), N ≥ 2.
    """
    asked = torch.randperm(len(real), generator=seeds.generator(0, "copies"))[:_ASKED]
    _, among = _nearest(real[asked], real, but=asked)
    different = among[among > _SAME * among.median()]
    return different.double().quantile(_RARE).item() if len(different) else 0.0


def _nearest(samples: Tensor, real: Tensor, but: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Returns where the nearest one of every row is, and its distance; each may have one that does not count."""
    indices, distances = [], []
    for start in range(0, len(samples), _ROWS):
        part = samples[start : start + _ROWS]
        least, place = torch.full((len(part),), math.inf), torch.zeros(len(part), dtype=torch.int64)
        for first in range(0, len(real), _COLUMNS):
            apart = torch.cdist(part, real[first : first + _COLUMNS])
            if but is not None:
                here = but[start : start + _ROWS] - first
                inside = (here >= 0) & (here < apart.shape[1])
                apart[inside, here[inside]] = math.inf
            found = apart.min(1)
            nearer = found.values < least
            least, place = torch.where(nearer, found.values, least), torch.where(nearer, found.indices + first, place)
        indices.append(place)
        # Out of a product of matrices small distances come with a large error; of the one that counts, without.
        distances.append((part - real[indices[-1]]).norm(dim=1))
    return torch.cat(indices), torch.cat(distances)
