"""A data set of images as bytes, in memory or mapped into it from a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from kakusan.errors import KakusanError, counted

_CHUNK = 256  # images hashed at a time


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images of one shape, with what they show and what was done to them on the way in.

    Attributes:
        images: uint8, shape (N, C, H, W), N ≥ 1.
        labels: Class of every image, int64, shape (N,), in [0, K); or None.
        class_names: The K names of the classes; empty without labels.
        name: What a person calls this set.
        captions: What every image shows in words, empty where nobody said; or nothing at all.
        notes: What is to be said of their source, and each kind of conversion once, for the person whose they are.
        skipped: Files that could not be read: path below the source, and reason.
        names: What each image is called, its path below the source; or nothing at all.

    Raises:
        KakusanError: The parts do not fit together.
    """

    images: Tensor
    labels: Tensor | None = None
    class_names: tuple[str, ...] = ()
    name: str = "images"
    captions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or 0 in self.images.shape:
            raise KakusanError(
                f"images must be uint8 of shape (N, C, H, W) with at least one image, "
                f"not {self.images.dtype} of shape {tuple(self.images.shape)}"
            )
        if len(self.captions) not in (0, len(self)):
            raise KakusanError(f"{len(self.captions):,} captions do not match {len(self):,} images (give one an image)")
        if len(self.names) not in (0, len(self)):
            raise KakusanError(f"{len(self.names):,} names do not match {len(self):,} images (give one an image)")
        if self.labels is None:
            if self.class_names:
                raise KakusanError(f"{len(self.class_names)} class names need labels (give both or neither)")
            return
        if self.labels.dtype != torch.int64 or self.labels.shape != (len(self),):
            raise KakusanError(
                f"labels must be int64 of shape ({len(self)},), one an image, "
                f"not {self.labels.dtype} of shape {tuple(self.labels.shape)}"
            )
        lowest, highest = int(self.labels.min()), int(self.labels.max())
        if lowest < 0 or highest >= len(self.class_names):
            raise KakusanError(
                f"labels must lie between 0 and {len(self.class_names) - 1}, one for each class name, "
                f"not between {lowest} and {highest}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size, classes = "×".join(map(str, self.shape)), f", classes {len(self.class_names)}" if self.class_names else ""
        captions = ", captions" if self.captions else ""
        return f"<ImageSet {self.name}: {counted(len(self), 'image')} of {size}{classes}{captions}>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.images.shape
        return channels, height, width


def digest_of(images: Tensor) -> str:
    """Returns the leading digits of a hash of images, uint8, shape (n, C, H, W)."""
    digest = sha256(repr(tuple(images.shape)).encode())
    for part in in_bytes(images):
        digest.update(part)
    return digest.hexdigest()[:16]


def in_bytes(images: Tensor) -> Iterator[bytes]:
    """Yields images as bytes, a part of them at a time, for they may be mapped and more than fit into memory."""
    for chunk in torch.split(images, _CHUNK):
        yield chunk.contiguous().numpy().tobytes()
