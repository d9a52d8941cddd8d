"""What sees images when samples are judged: a classifier of the data's own, or Inception where its weights are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from torch import Tensor

from kakusan.devices import resolve
from kakusan.evaluation.features import Seen
from kakusan.weights import find


class Eye(Protocol):
    """What sees images.

    Attributes:
        name: What it is called in a protocol.
    """

    @property
    def name(self) -> str: ...

    def see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features, (N, D), and logits, (N, K), of images, uint8, shape (N, C, H, W); on the CPU."""


class Inception:
    """The network of the published FID and Inception score.

    Args:
        seen: It, on a device.
    """

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self.name = seen.name

    def see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = self._seen(images)
        return found["2048"], found["logits_unbiased"]


def inception_at_hand(device: str, directory: Path | None = None) -> Inception | None:
    """Returns Inception where its weights and its library are here already; nothing is downloaded.

    Args:
        device: Where to compute.
        directory: A place with weights of the user's own.
    """
    if find_spec("torch_fidelity") is None or find("inception", directory) is None:
        return None
    return Inception(Seen("inception", directory, device=resolve(device), offline=True, show=False))
