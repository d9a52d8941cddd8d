"""Which training image lies nearest to a sample, and how near real images lie to each other."""

from __future__ import annotations

import torch
from torch import Tensor

from kakusan import seeds
from kakusan.data.parting import all_but
from kakusan.pictures import from_uint8
from kakusan.reporting.shown import Neighbours
from kakusan.reporting.thumbnails import shrunk
from kakusan.seeing.sources import Stored

_REAL = 500  # whose neighbours are looked for; their median is known well enough
_CHUNK, _VALUES = 4096, 2**22  # images, and values of theirs, that are compared at a time


def neighbours(samples: Tensor, data: Stored) -> Neighbours | None:
    """Finds the training image nearest to every sample, and the other one nearest to some real images.

    Large pictures are compared at the size at which a page shows them.

    Args:
        samples: Values in [-1, 1], shape (..., C, H, W).
        data: The images, with what the model learned of them; mirrored ones count where it saw them so.

    Returns:
        None where a single image has no other, or where the samples have another shape.
    """
    learned = all_but(data.held_out, data.n)
    if len(learned) < 2 or samples.shape[-3:] != data.shape:
        return None
    samples = shrunk(samples.reshape(-1, *data.shape))
    closest, distances = nearest(samples, data.images.images, learned, mirrored=data.mirrored)
    chosen = torch.randperm(len(learned), generator=seeds.generator(0, "neighbours"))[:_REAL]
    asked = shrunk(from_uint8(data.at(learned[chosen])))
    _, real = nearest(asked, data.images.images, learned, mirrored=data.mirrored, but=chosen)
    return Neighbours(samples, closest, distances, real)


def nearest(
    queries: Tensor, images: Tensor, among: Tensor, *, mirrored: bool = False, but: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the nearest image to each query, and the Euclidean distance over all values.

    Args:
        queries: Values in [-1, 1] at the size of a page, shape (n, C, H, W).
        images: uint8, shape (N, C, H, W) at any size.
        among: Which of them are looked through, int64, shape (k,).
        mirrored: Whether to look among their mirror images too.
        but: For each query which of those does not count, shape (n,), as a place in ``among``.

    Returns:
        Values in [-1, 1], shape (n, C, H, W), and float64 of shape (n,).
    """
    best = torch.full((len(queries),), torch.inf)
    found = torch.zeros_like(queries)
    chunk = max(1, min(_CHUNK, _VALUES // images[0].numel()))
    for start in range(0, len(among), chunk):
        part = shrunk(from_uint8(images[among[start : start + chunk]]))
        for view in (part, part.flip(-1)) if mirrored else (part,):
            distances = torch.cdist(queries.flatten(1), view.flatten(1))
            if but is not None:
                here = (but >= start) & (but < start + len(part))
                distances[here, but[here] - start] = torch.inf
            least, place = distances.min(1)
            nearer = least < best
            best = torch.where(nearer, least, best)
            found[nearer] = view[place[nearer]]
    # Once more and exactly: of a copy, what was computed by a matrix product would not be zero.
    return found, (queries.double() - found.double()).flatten(1).norm(dim=1)
