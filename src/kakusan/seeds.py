"""From one run seed to independent streams of randomness, none of which ever repeats a seed of its own.

Torch's CPU generator keeps only the low 32 bits of a seed, and among 50,000 hashed seeds of 32 bits two agree with
probability 25 %. Within a stream the index is therefore mixed by a *bijection* on 32 bits: no two indices collide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import torch
from torch import Tensor

from kakusan.errors import KakusanError

_BITS = 32
_MASK = 2**_BITS - 1


def derive(seed: int, stream: str, index: int = 0) -> int:
    """Returns the 32-bit seed of the ``index``-th draw of a named ``stream`` under a run's ``seed``.

    For a fixed ``seed`` and ``stream`` this is a bijection of the index, so seeds within a stream never collide.

    Args:
        seed: The seed of the run, any integer.
        stream: What is drawn, such as ``"image"`` or ``"step"``; streams are independent of each other.
        index: Which draw, in [0, 2³²).

    Raises:
        KakusanError: ``index`` lies outside [0, 2³²).
    """
    if not 0 <= index <= _MASK:
        raise KakusanError(f"a stream of seeds holds indices from 0 to {_MASK}, not {index}")
    digest = blake2b(f"{seed}/{stream}".encode(), digest_size=12).digest()
    keys = [int.from_bytes(digest[i : i + 4]) for i in (0, 4, 8)]
    # Each line maps 32 bits onto 32 bits one to one: xor, an odd factor, and a shift that folds high bits down.
    for key in keys:
        index ^= key
        index = index * 0x9E3779B1 & _MASK
        index ^= index >> 15
    return index


def generator(seed: int, stream: str, index: int = 0) -> torch.Generator:
    """Returns a CPU generator seeded by :func:`derive`, so that draws are the same whatever the device."""
    return torch.Generator().manual_seed(derive(seed, stream, index))


class ImageNoise:
    """Standard normal noise for a batch in which every image draws from a generator of its own.

    Args:
        seed: The seed of the run.
        indices: Which of the run's images these are.
        stream: What is drawn.
    """

    def __init__(self, seed: int, indices: Sequence[int], stream: str = "image") -> None:
        self.generators = [generator(seed, stream, index) for index in indices]
        """Of every image; what is drawn from one goes on from what was."""

    def __call__(self, x: Tensor) -> Tensor:
        """Returns noise shaped, typed and placed like ``x``, shape (B, *): drawn in float32 on the CPU."""
        noise = torch.empty(x.shape, dtype=torch.float32)
        for image, own in zip(noise, self.generators, strict=True):
            image.normal_(generator=own)
        return noise.to(x)


@dataclass(frozen=True)
class Draws:
    """The randomness of one training step: drawn for the whole batch, of which each process then takes its share.

    So at a fixed batch size a step is the same whatever the number of processes, and a run that resumes goes on with
    the very draws it would have made.

    Attributes:
        seed: The seed of the run.
        step: Optimizer steps before this one.
        count: Images in the whole batch.
        share: The part of it that this process computes.
    """

    seed: int
    step: int
    count: int
    share: slice = field(default_factory=lambda: slice(None))
    _drawn: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def part(self, part: slice) -> Draws:
        """Returns a part of this share, of the same draws: the whole batch's are made once for all of its parts."""
        inside = range(self.count)[self.share][part]
        return replace(self, share=slice(inside.start, inside.stop))

    def generator(self, stream: str) -> torch.Generator:
        """Returns the generator of a named stream, such as ``"noise"``, for this step."""
        return generator(self.seed, stream, self.step)

    def normal(self, stream: str, shape: Sequence[int]) -> Tensor:
        """Returns this process's share of standard normal draws, each of ``shape``: (b, *shape) on the CPU."""
        if stream not in self._drawn:
            self._drawn[stream] = torch.randn(self.count, *shape, generator=self.generator(stream))
        return self._drawn[stream][self.share]

    def chance(self, stream: str, probability: float) -> Tensor:
        """Returns this process's share of independent coins, true with a ``probability``: bool, (b,) on the CPU."""
        return (torch.rand(self.count, generator=self.generator(stream)) < probability)[self.share]
