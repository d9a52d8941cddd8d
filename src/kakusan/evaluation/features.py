"""What pretrained networks see in images: the features that published distances are measured on.

Networks, resizing and formulas are torch-fidelity's, so that numbers agree with its own; the stream is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from kakusan.errors import KakusanError, optional
from kakusan.perception import BACKBONES, Diversity, Lpips
from kakusan.seeing.stream import Seer
from kakusan.weights import find, missing, obtain

_BATCH = 64
_SIDE = 32  # pixels, beyond which images are compared smaller


@dataclass(frozen=True)
class Network:
    """A kind of network that sees images.

    Attributes:
        target: ``module:class`` of torch-fidelity's.
        layers: Dimensions of the layers that metrics ask for.
        side: Pixels that images are resized to inside.
    """

    target: str
    layers: Mapping[str, int]
    side: int


NETWORKS = MappingProxyType(
    {
        "inception": Network(
            "torch_fidelity.feature_extractor_inceptionv3:FeatureExtractorInceptionV3",
            {"2048": 2048, "logits_unbiased": 1008},
            299,
        ),
        "vgg16": Network("torch_fidelity.feature_extractor_vgg16:FeatureExtractorVGG16", {"fc2_relu": 4096}, 224),
    }
)


class Extractor(Seer, Protocol):
    """What sees images."""

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Returns what it sees in images, uint8, shape (N, 1 or 3, H, W), of these classes, (N,): float32, (N, D)."""


def extractor(
    kind: str, directory: Path | None = None, *, device: torch.device, offline: bool = False, show: bool = True
) -> Extractor:
    """Returns what sees images.

    Args:
        kind: One of :data:`NETWORKS` or of LPIPS; or ``"pixels"``, which needs no network.
        directory: A place with weights of the user's own.
        device: Where to compute.
        offline: Never touch the network of computers.
        show: Whether to show the progress of a download.

    Raises:
        KakusanError: A library is not installed, or the weights are wanting.
    """
    if kind == "pixels":
        return Pixels()
    if kind in NETWORKS:
        return Pretrained(kind, directory, device=device, offline=offline, show=show)
    return Diversity(Lpips(kind, directory, device=device, offline=offline, show=show))


def weights_of(kinds: Iterable[str]) -> list[str]:
    """Returns the names of the pretrained weights that some kinds of networks need."""
    return sorted(BACKBONES.get(kind, kind) for kind in set(kinds) - {"pixels"})


def require(kinds: Iterable[str], directory: Path | None, offline: bool) -> None:
    """Refuses, before images are read or drawn, what cannot be seen without the network of computers.

    Raises:
        KakusanError: Weights are missing, and may not be downloaded.
    """
    for name in weights_of(kinds):
        if offline and find(name, directory) is None:
            raise missing(name)


class Pretrained:
    """A pretrained network on a device.

    Args:
        network: One of :data:`NETWORKS`.
        directory: A place with weights of the user's own.
        device: Where to compute.
        offline: Never touch the network of computers.
        show: Whether to show the progress of a download.

    Raises:
        KakusanError: torch-fidelity is not installed, or the weights are wanting.
    """

    def __init__(
        self,
        network: str,
        directory: Path | None = None,
        *,
        device: torch.device,
        offline: bool = False,
        show: bool = True,
    ) -> None:
        kind = NETWORKS[network]
        module, _, name = kind.target.partition(":")
        with optional("this metric", "metrics"):
            made = getattr(import_module(module), name)
        weights = obtain(network, directory, offline=offline, show=show)
        # It reads the file with an unpickler that runs anything, so the file was read by one that runs nothing first.
        try:
            self._network: nn.Module = made(
                network, list(kind.layers), feature_extractor_weights_path=str(weights.path)
            )
        except (RuntimeError, KeyError) as error:
            raise KakusanError(f"{weights.path} does not fit {name}: {str(error).partition(':')[0]}") from error
        self._network.to(device)
        self.device = device
        self.library = f"torch-fidelity {version('torch_fidelity')}"
        self.name = f"{network} {weights.sha256[:8]}"
        self.layers = dict(kind.layers)
        self.resize = f"bilinear to {kind.side} pixels, as TensorFlow 1"

    @torch.no_grad()
    def __call__(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Returns the features of images, uint8, shape (N, 1 or 3, H, W), by layer: float32, (N, D), on the CPU."""
        parts = []
        for batch in torch.split(images, _BATCH):
            seen = self._network(batch.to(self.device).expand(-1, 3, -1, -1))
            parts.append([_numbers(layer.float().cpu(), self.name) for layer in seen])
        return {layer: torch.cat([part[i] for part in parts]) for i, layer in enumerate(self.layers)}


class Pixels:
    """Sees nothing but the pixels, so that distances are Euclidean; a large image is shrunk first."""

    name = "pixels-1"  # another way to shrink would be another number
    layers: ClassVar[Mapping[str, int]] = {"pixels": 3 * _SIDE * _SIDE}
    resize = f"averaged to at most {_SIDE} pixels"
    device = torch.device("cpu")
    library = "kakusan"

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Returns the pixels of images, uint8, shape (N, 1 or 3, H, W), in [0, 1] and then zeros: float32, (N, D)."""
        pixels = images.float() / 255
        if (large := max(images.shape[-2:])) > _SIDE:
            height, width = (max(1, round(side * _SIDE / large)) for side in images.shape[-2:])
            pixels = nn.functional.interpolate(pixels, (height, width), mode="area")
        flat = pixels.flatten(1)
        return {"pixels": nn.functional.pad(flat, (0, self.layers["pixels"] - flat.shape[1]))}


def _numbers(seen: Tensor, name: str) -> Tensor:
    if not seen.isfinite().all():
        raise KakusanError(f"{name} saw what is no number in some images (half precision or damaged weights do that)")
    return seen
