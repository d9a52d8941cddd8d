"""LPIPS: how far apart two pictures look, by torchmetrics' heads on the features of AlexNet or VGG16."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from kakusan.errors import KakusanError, optional
from kakusan.pictures import from_uint8
from kakusan.weights import obtain

_SMALLEST = 64  # pixels: of fewer, the pools of these networks leave nothing
_BATCH = 32
BACKBONES = {"lpips-alex": "alexnet", "lpips-vgg": "vgg16"}
"""The pretrained network of each kind; AlexNet is for measuring."""


class Lpips:
    """A perceptual distance on a device.

    Args:
        kind: One of :data:`BACKBONES`.
        directory: A place with weights of the user's own.
        device: Where to compute.
        offline: Never touch the network of computers.
        show: Whether to show the progress of a download.

    Raises:
        KakusanError: torchmetrics is not installed, or the weights are wanting.

    Attributes:
        name: What it is called in a stamp, with the hash of its weights.
        device: Where it computes.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018.
    """

    def __init__(
        self,
        kind: str,
        directory: Path | None = None,
        *,
        device: torch.device,
        offline: bool = False,
        show: bool = True,
    ) -> None:
        with optional("this metric", "metrics"):
            from torchmetrics.functional.image.lpips import _NoTrainLpips
        weights = obtain(BACKBONES[kind], directory, offline=offline, show=show)
        self._network: nn.Module = _NoTrainLpips(net=kind.removeprefix("lpips-"), pnet_rand=True)
        # Its slices call the layers of the backbone by the numbers that they have in torchvision's ``features``.
        slices = {name: f"features.{name.split('.', 1)[1]}" for name in self._network.net.state_dict()}
        try:
            self._network.net.load_state_dict({name: weights.state[theirs] for name, theirs in slices.items()})
        except (RuntimeError, KeyError) as error:
            raise KakusanError(f"{weights.path} does not fit {kind}: {str(error).partition(':')[0]}") from error
        self._network.to(device).requires_grad_(False)
        self.device = device
        self.name = f"{kind} {weights.sha256[:8]}"

    @torch.no_grad()
    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Returns the distance of each image of ``a`` from its one of ``b``, uint8, (N, 1 or 3, H, W): (N,)."""
        parts = [
            self.apart(*(from_uint8(part.to(self.device)) for part in both)).cpu()
            for both in zip(torch.split(a, _BATCH), torch.split(b, _BATCH), strict=True)
        ]
        return torch.cat(parts)

    def apart(self, a: Tensor, b: Tensor) -> Tensor:
        """Returns that distance with its gradient: of pixels in [−1, 1], (N, 1 or 3, H, W), on its device: (N,)."""
        found: Tensor = self._network(self._enlarged(a), self._enlarged(b)).reshape(-1)
        return found

    def _enlarged(self, pixels: Tensor) -> Tensor:
        pixels = pixels.expand(-1, 3, -1, -1)
        if min(pixels.shape[-2:]) < _SMALLEST:
            scale = _SMALLEST / min(pixels.shape[-2:])
            pixels = nn.functional.interpolate(pixels, scale_factor=scale, mode="bilinear").clamp(-1, 1)
        return pixels


def resizing(shape: tuple[int, ...]) -> str:
    """Returns how images of a shape, (C, H, W), are resized before they are seen, in words."""
    return "not at all" if min(shape[-2:]) >= _SMALLEST else f"bilinear to {_SMALLEST} pixels"


class Diversity:
    """Sees of each image how far it looks from the one before it of the same class, within a chunk.

    Every image has one partner at most, so the distances are of pairs that share none.

    Args:
        lpips: The distance.

    Attributes:
        name, layers, resize, device, library: As of an extractor.
    """

    def __init__(self, lpips: Lpips) -> None:
        self._lpips = lpips
        self.name, self.device = lpips.name, lpips.device
        self.library = f"torchmetrics {version('torchmetrics')}"
        self.layers = {"pairs": 1}
        self.resize = f"bilinear to at least {_SMALLEST} pixels"

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Returns the distances as the layer ``pairs``, shape (N, 1), NaN for an image that closes no pair."""
        waiting: dict[int, int] = {}
        pairs = []
        for index, label in enumerate([0] * len(images) if labels is None else labels.tolist()):
            if label in waiting:
                pairs.append((waiting.pop(label), index))
            else:
                waiting[label] = index
        found = torch.full((len(images), 1), torch.nan)
        if pairs:
            first, second = torch.tensor(pairs).T
            found[second, 0] = self._lpips(images[first], images[second])
        return {"pairs": found}
