"""Images that keep their aspect: each is learned at the size, of a few, that is most like its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from kakusan import seeds
from kakusan.customising.framing import originals
from kakusan.data.batches import Batch, ImageBatches
from kakusan.data.images import ImageSet
from kakusan.data.order import batch_indices
from kakusan.seeds import Draws

_LONGEST = 2.0  # times the side of the square


def bucket_of(width: int, height: int, size: int, step: int) -> tuple[int, int]:
    """Returns the size at which an image is learned: of those whose sides are multiples of ``step``, which have no more
    pixels than the square and as many as fit, the one whose aspect is most like its own.

    Args:
        width, height: Of the image, in pixels.
        size: Side of the square.
        step: In pixels; divides ``size``.

    Returns:
        (height, width), neither above twice the side of the square.
    """
    sides = range(step, int(size * _LONGEST) + 1, step)
    fitting = [(high, wide) for wide in sides if (high := size * size // wide // step * step) in sides]
    fitting += [(wide, high) for high, wide in fitting]  # upright as lying
    aspect = math.log(width / height)
    return min(fitting, key=lambda it: (abs(math.log(it[1] / it[0]) - aspect), -it[0] * it[1]))


def bucketed(source: str, images: ImageSet, step: int) -> list[Tensor]:
    """Returns the images of a source at the sizes of their buckets: bytes, each (C, H, W).

    Args:
        source: Where they are from.
        images: The same as squares, which say their names.
        step: As in :func:`bucket_of`.
    """
    channels, size, _ = images.shape
    return [_fitted(picture.pixels, channels, size, step) for picture in originals(source, images)]


def _fitted(pixels: np.ndarray, channels: int, size: int, step: int) -> Tensor:
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    height, width = bucket_of(*image.size, size, step)
    fitted = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC))
    planes = fitted[None] if fitted.ndim == 2 else fitted.transpose(2, 0, 1)
    return torch.from_numpy(np.broadcast_to(planes, (channels, height, width)).copy())


class BucketBatches(ImageBatches):
    """Batches each of which holds images of one size: which size follows from the seed and the step, as often as there
    are images of it, and every image is seen as often as any other.

    Args:
        images: All of them, as squares.
        pairs: Which image goes with which prompt, as in :class:`ImageBatches`.
        members: The numbers of the pairs of every size, int64, each shape (M,).
        parts: Batches of these.
    """

    def __init__(
        self, images: ImageSet, pairs: Tensor, members: Sequence[Tensor], parts: Sequence[ImageBatches]
    ) -> None:
        super().__init__(images, parts[0].flips, pairs=pairs)
        self._members, self._parts = tuple(members), tuple(parts)
        self._size_of = torch.empty(len(pairs), dtype=torch.int64)
        for place, those in enumerate(members):
            self._size_of[those] = place

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what there is most of in a batch."""
        return max((part.shape for part in self._parts), key=math.prod)

    def indices(self, draws: Draws) -> Tensor:
        place, own = self._turn(draws)
        return self._members[place][self._parts[place].indices(own)]

    def __call__(self, draws: Draws, device: torch.device) -> Batch:
        place, own = self._turn(draws)
        return self._parts[place](own, device)

    def _turn(self, draws: Draws) -> tuple[int, Draws]:
        """Returns the size of a step, and what is drawn for it: by a clock of its own, which counts its steps alone."""
        count = len(self._size_of)
        epoch, seen = divmod(draws.step, count)
        order = self._size_of[batch_indices(draws.seed, epoch * count, count, count)]
        place = int(order[seen])
        before = epoch * len(self._members[place]) + int((order[:seen] == place).sum())
        return place, Draws(seeds.derive(draws.seed, "bucket", place), before, draws.count, draws.share)
