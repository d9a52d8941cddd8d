"""How large images were before they were brought to the size at which they are learned, and where they were cut: SDXL
is told of both, so that it draws neither what was enlarged nor what was cut unless asked to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from kakusan.data.decode import Picture, decode
from kakusan.data.images import ImageSet
from kakusan.data.sources import open_source


def is_told_of_sizes(pipe: Any) -> bool:
    """Whether a pipeline is SDXL's."""
    return pipe.components.get("text_encoder_2") is not None


def originals(source: str, images: ImageSet) -> Iterator[Picture]:
    """Yields the images of a source as they lie there, one at a time.

    Args:
        source: Where they are from.
        images: The same as squares, which say their names.
    """
    listed, grey = open_source(source), images.shape[0] == 1
    numbers = {listed.entry(number): number for number in range(len(listed))}
    for name in images.names:
        picture = decode(lambda number=numbers[name]: listed.read(number), None, grey=grey)  # type: ignore[misc]
        assert isinstance(picture, Picture), "it was read a moment ago"
        yield picture


def frames_of(source: str | None, images: ImageSet, shaped: Sequence[Tensor]) -> Tensor:
    """Returns height and width of images as they were, and how far from the top and from the left they were cut once
    they had the size at which they are learned: int64, shape (N, 4), in pixels.

    Args:
        source: Where they are from; None where they are as they were.
        images: They, as squares.
        shaped: They, at the sizes at which they are learned: each (C, H, W).

    Source: Podell et al., "SDXL", 2023, section 2.2; the numbers are those of diffusers' training scripts.
    """
    if source is None or not images.names:
        return torch.tensor([whole(*it.shape[1:]) for it in shaped])
    rows = []
    for picture, learned in zip(originals(source, images), shaped, strict=True):
        (height, width), (high, wide) = picture.pixels.shape[1:], learned.shape[1:]
        scale = max(high / height, wide / width)
        rows.append((height, width, round((height * scale - high) / 2), round((width * scale - wide) / 2)))
    return torch.tensor(rows)


def whole(height: int, width: int) -> tuple[int, int, int, int]:
    """Returns the frame of an image of this size that was neither resized nor cut."""
    return height, width, 0, 0


def framed(prompts: Sequence[str], pairs: Tensor, frames: Tensor) -> tuple[tuple[str, ...], Tensor, Tensor]:
    """Returns what images are told by where frames belong to it: a prompt stands there once for each of its frames.

    Args:
        prompts: All of them, P.
        pairs: (image, prompt), int64, shape (M, 2).
        frames: Of every image, int64, shape (N, 4).

    Returns:
        T prompts, the pairs of images with these, and their frames, int64, shape (T, 4).
    """
    told, numbers = torch.unique(torch.cat([pairs[:, 1:], frames[pairs[:, 0]]], 1), dim=0, return_inverse=True)
    return tuple(prompts[it] for it in told[:, 0]), torch.stack([pairs[:, 0], numbers], 1), told[:, 1:]
