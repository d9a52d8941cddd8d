"""What a training step is fed: batches from a set in memory, or from a loader of the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from zlib import crc32

import torch
from torch import Tensor

from kakusan import seeds
from kakusan.data.augment import flip
from kakusan.data.images import ImageSet
from kakusan.data.order import batch_indices
from kakusan.devices import sent
from kakusan.errors import KakusanError
from kakusan.pictures import from_uint8
from kakusan.seeds import Draws

# A set up to this size is kept on the device, so that a batch costs no transfer.
_RESIDENT_BYTES = 2**30
_LOOKED_AT = 64  # images, for a fingerprint


@dataclass(frozen=True)
class Batch:
    """One process's share of a batch.

    Attributes:
        images: What is learned: images in [−1, 1] or, where a model learns in latents, those; float32, (B, C, H, W).
        labels: int64, shape (B,), or None.
        words: The captions by number, int64, shape (B, L), a row of -1 for one that says nothing; or None.
    """

    images: Tensor
    labels: Tensor | None = None
    words: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Batch:
        return self._each(lambda given: given[part])

    def to(self, device: torch.device) -> Batch:
        """Returns the batch on another device."""
        return self._each(lambda given: sent(given, device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        labels, words = (None if it is None else change(it) for it in (self.labels, self.words))
        return Batch(change(self.images), labels, words)

    def then(self, other: Batch) -> Batch:
        """Returns the images of both, in this order; there are labels where both have them."""
        labels = None if self.labels is None or other.labels is None else torch.cat([self.labels, other.labels])
        return Batch(torch.cat([self.images, other.images]), labels)


class Batches(Protocol):
    """Where batches come from."""

    @property
    def epoch(self) -> int | None:
        """Images in one pass over the data; None where nobody knows."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""

    def __call__(self, draws: Draws, device: torch.device) -> Batch:
        """Returns the batch of a step, on ``device``."""


class ImageBatches:
    """Batches from a set in memory: which images, and which of them are mirrored, follows from the seed and the step.

    Args:
        images: The set.
        flip: Whether to mirror images left to right, each with probability ½ and drawn anew every time.
        among: Numbers of the images to serve, int64, shape (M,); None for all.
        words: What is served as the captions of all images, int64, shape (N, L); None for none.
        pairs: An image and its label for each that is served, int64, shape (P, 2), where one has several or counts more
            than once: then numbers of images, and all that goes by them, are those of pairs. None: each with its own.

    Attributes:
        among: These numbers.
        flips: Whether it mirrors.
        words: These captions.
        pairs: These pairs.
    """

    def __init__(
        self,
        images: ImageSet,
        flip: bool = False,
        among: Tensor | None = None,
        words: Tensor | None = None,
        pairs: Tensor | None = None,
    ) -> None:
        self._set = images
        self.among, self.words, self.pairs = among, words, pairs
        self._pixels = images.images
        self.flips = flip

    @property
    def epoch(self) -> int:
        return self._count if self.among is None else len(self.among)

    @property
    def labels(self) -> Tensor | None:
        """Class of every image of the set, int64, shape (N,); or None."""
        return self._set.labels if self.pairs is None else self.pairs[:, 1]

    @property
    def images(self) -> ImageSet:
        """The whole set, whichever of it are served."""
        return self._set

    @property
    def fingerprint(self) -> int:
        """A number that other images will hardly have: the CRC-32 of some, spread evenly over the set, and of all its
        labels. They may lie elsewhere, or in another kind of file."""
        count = len(self._set)
        some = self._set.images[torch.arange(0, count, -(-count // _LOOKED_AT))]
        found = crc32(some.numpy().tobytes())
        return found if self.labels is None else crc32(self.labels.numpy().tobytes(), found)

    @property
    def told(self) -> int | None:
        """A number that other captions will hardly have: the CRC-32 of their words; None without."""
        return None if self.words is None else crc32(self.words.numpy().tobytes())

    @property
    def numbers(self) -> Tensor:
        """Numbers of the images that are served, int64, shape (M,)."""
        return torch.arange(self._count) if self.among is None else self.among

    @property
    def _count(self) -> int:
        return len(self._set) if self.pairs is None else len(self.pairs)

    @property
    def own(self) -> Tensor:
        """Numbers of those that may be kept out to judge on, int64: all that are served."""
        return self.numbers

    def only(self, among: Tensor) -> ImageBatches:
        """Returns batches of some of the set's images, by number."""
        return ImageBatches(self._set, self.flips, among, self.words, self.pairs)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._set.shape

    def __call__(self, draws: Draws, device: torch.device) -> Batch:
        batch = self.at(self.indices(draws), device)
        if self.flips:
            return replace(batch, images=flip(batch.images, sent(draws.chance("flip", 0.5), device)))
        return batch

    def indices(self, draws: Draws) -> Tensor:
        """Returns the numbers of the images of a step, int64, shape (B,)."""
        indices = batch_indices(draws.seed, draws.step * draws.count, draws.count, self.epoch)[draws.share]
        return indices if self.among is None else self.among[indices]

    def at(self, indices: Tensor, device: torch.device) -> Batch:
        """Returns images of the set by number, int64, shape (B,), as they are, on ``device``."""
        if self._pixels.device != device and self._pixels.nbytes <= _RESIDENT_BYTES:
            self._pixels = self._pixels.to(device)
        places = sent(self._places(indices), self._pixels.device)
        images = from_uint8(sent(self._pixels[places], device))
        return self._told(images, indices, device)

    def _places(self, indices: Tensor) -> Tensor:
        """Returns where in the set images lie, by number."""
        return indices if self.pairs is None else self.pairs[indices, 0]

    def _told(self, images: Tensor, indices: Tensor, device: torch.device) -> Batch:
        """Returns a batch of what was made of images by number, with what they are told by."""
        labels, words = (None if it is None else sent(it[indices], device) for it in (self.labels, self.words))
        return Batch(images, labels, words)


class LoaderBatches:
    """Batches from any iterable of ``images``, ``(images,)`` or ``(images, labels)``, gone through again and again.

    Its order is its own: a resumed run does not go on where it stopped in it. Each of several processes reads the whole
    batch and keeps its share, so a loader must not be sharded; what shuffles by torch's generator, as a ``DataLoader``
    does, shuffles alike in all of them. Images are floats in [−1, 1], or bytes, which are brought there. However many
    of them the loader yields at a time, fewer at its end perhaps, a step gets as many as it asks for.

    Args:
        loader: Such as a ``torch.utils.data.DataLoader``.

    Attributes:
        batch_size: Images in its first batch.
        labelled: Whether that has labels.
        lowest, highest: The ends of the values in it.

    Raises:
        KakusanError: It yields nothing, or something else, values that are no numbers among it, or can be gone through
            only once.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        if isinstance(loader, Iterator):
            raise KakusanError("an iterator ends after one pass over its batches: give a DataLoader, or a list of them")
        self._loader = loader
        self._classes: int | None = None
        self._batches: Iterator[Any] = iter(())
        first = self._read(next(iter(loader), None))
        self._waiting = first[:0]
        _, channels, height, width = first.images.shape
        self.shape = (channels, height, width)
        self.batch_size = len(first.images)
        self.labelled = first.labels is not None
        self.lowest, self.highest = (end.item() for end in first.images.aminmax())
        if not math.isfinite(self.lowest + self.highest):
            raise KakusanError(
                f"the loader's first batch holds values from {self.lowest:g} to {self.highest:g}: no images (mend what "
                "makes them)"
            )
        self.epoch = _images_in(loader, self.batch_size)

    def expect(self, classes: int) -> None:
        """Refuses from now on, with a KakusanError, a batch without one label an image, below ``classes`` or -1."""
        self._classes = classes

    def __call__(self, draws: Draws, device: torch.device) -> Batch:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seeds.derive(draws.seed, "loader", draws.step))
            while len(self._waiting) < draws.count:
                self._waiting = self._waiting.then(self._next())
        batch, self._waiting = self._waiting[: draws.count], self._waiting[draws.count :]
        return batch[draws.share].to(device)

    def _next(self) -> Batch:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self._loader)
            batch = next(self._batches, None)
        read = self._read(batch)
        shape = tuple(read.images.shape[1:])
        if shape != self.shape:
            raise KakusanError(
                f"a data loader must yield images of one shape, not first {self.shape} and then {shape} "
                "(resize or crop them)"
            )
        return read

    def _read(self, batch: Any) -> Batch:
        parts: Sequence[Any] = batch if isinstance(batch, (tuple, list)) else (batch,)
        if not (parts and isinstance(parts[0], Tensor) and parts[0].ndim == 4 and len(parts[0]) > 0):
            raise KakusanError(
                f"a data loader must yield images of shape (B, C, H, W), alone or with labels, not {_describe(batch)}"
            )
        images = from_uint8(parts[0]) if parts[0].dtype == torch.uint8 else parts[0].float()
        labels = parts[1] if len(parts) > 1 and isinstance(parts[1], Tensor) else None
        if self._classes is not None:
            _check_labels(labels, len(images), self._classes)
        return Batch(images, None if labels is None else labels.to(torch.int64))


def _check_labels(labels: Tensor | None, images: int, classes: int) -> None:
    # A label that is one too high would pass for the null class, and nobody would notice.
    whole = labels is not None and (not labels.is_floating_point() or bool((labels == labels.round()).all()))
    if labels is None or not whole or labels.shape != (images,) or labels.min() < -1 or labels.max() >= classes:
        kind = "" if whole else "no whole numbers, "
        given = "none" if labels is None else f"{kind}{tuple(labels.shape)} from {labels.min()} to {labels.max()}"
        raise KakusanError(
            f"a data loader must yield one label an image, from 0 to {classes - 1} (or -1, no class), not {given}"
        )


def _images_in(loader: Iterable[Any], batch_size: int) -> int | None:
    """Returns the images in a pass, as far as a loader tells: of its data set, or of its batches; or None."""
    for countable, factor in ((getattr(loader, "dataset", None), 1), (loader, batch_size)):
        try:
            return len(countable) * factor  # type: ignore[arg-type]
        except TypeError:  # iterable data sets have no length
            continue
    return None


def _describe(batch: Any) -> str:
    if batch is None:
        return "nothing at all"
    return f"a tensor of shape {tuple(batch.shape)}" if isinstance(batch, Tensor) else f"a {type(batch).__name__}"
