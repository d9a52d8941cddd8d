"""Which images a training step sees: a pure function of the seed and of how many were seen before."""

from functools import lru_cache

import torch
from torch import Tensor

from kakusan import seeds
from kakusan.errors import KakusanError


def batch_indices(seed: int, start: int, count: int, size: int) -> Tensor:
    """Returns the next ``count`` images on a walk that visits all of them once an epoch, each epoch in a new order.

    Where a batch begins is a number of images, not of steps: so the walk is the same whatever the batch size, it runs
    on over the border of an epoch, and a run that resumes neither repeats nor misses an image.

    Args:
        seed: The seed of the run.
        start: Images seen before, at least 0.
        count: Images in the batch, at least 1; may exceed ``size``.
        size: Images in the data set, at least 1.

    Returns:
        Indices in [0, size), int64, shape (count,).

    Raises:
        KakusanError: A number is below its least value.
    """
    if start < 0 or count < 1 or size < 1:
        raise KakusanError(f"a batch needs start ≥ 0, count ≥ 1 and size ≥ 1, not {start}, {count} and {size}")
    pieces = []
    while count > 0:
        epoch, seen = divmod(start, size)
        piece = _permutation(seed, epoch, size)[seen : seen + count]
        pieces.append(piece)
        start += len(piece)
        count -= len(piece)
    return torch.cat(pieces)


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, size: int) -> Tensor:
    return torch.randperm(size, generator=seeds.generator(seed, "order", epoch))
