"""Whose features are compared when samples are judged: a classifier's of the data's own, or Inception's."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from kakusan.devices import resolve
from kakusan.evaluation.features import Extractor, Pretrained
from kakusan.weights import find


@dataclass(frozen=True)
class Eye:
    """A network, and which of its layers are compared.

    Attributes:
        extractor: The network.
        features: The layer of a Fréchet distance.
        logits: The layer of an Inception score.
    """

    extractor: Extractor
    features: str = "features"
    logits: str = "logits"

    @property
    def name(self) -> str:
        """What it is called in a protocol."""
        return self.extractor.name

    def see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features, (N, D), and logits, (N, K), of images, uint8, shape (N, C, H, W); on the CPU."""
        found = self.extractor(images, None)
        return found[self.features], found[self.logits]


def inception_at_hand(device: str, directory: Path | None = None) -> Eye | None:
    """Returns Inception where its weights and its library are here already; nothing is downloaded.

    Args:
        device: Where to compute.
        directory: A place with weights of the user's own.
    """
    if find_spec("torch_fidelity") is None or find("inception", directory) is None:
        return None
    network = Pretrained("inception", directory, device=resolve(device), offline=True, show=False)
    return Eye(network, "2048", "logits_unbiased")
