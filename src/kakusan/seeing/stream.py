"""What can be seen a chunk at a time, and what sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from kakusan.sampling import Progress


class Stream(Protocol):
    """What can be seen a chunk at a time, in an order that is always the same: images, or what belongs together."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    @property
    def n(self) -> int:
        """How many there are."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What decides what it holds, for a stamp."""

    def chunks(self, done: int, progress: Progress | None = None) -> Iterator[tuple[Any, ...]]:
        """Yields what there is from the ``done``-th on, a chunk at a time, as whoever sees it takes it.

        Who draws it calls ``progress`` on the way, with the steps done and the steps there are.
        """


class Seer(Protocol):
    """What sees a chunk of what a :class:`Stream` holds, and tells the same of each.

    Attributes:
        name: What it is called in a stamp, with the hash of its weights.
        layers: What it tells of each, and in how many numbers.
        resize: How images are resized to what it sees, in words.
        device: Where it computes.
        library: The library that it is of, and its version.
    """

    @property
    def name(self) -> str: ...

    @property
    def layers(self) -> Mapping[str, int]: ...

    @property
    def resize(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def library(self) -> str: ...

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Returns what it sees, float32, shape (N, D) a layer."""
