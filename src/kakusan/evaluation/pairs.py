"""Metrics of images that belong together, such as a reconstruction and what it was made from: PSNR, SSIM, LPIPS."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import torch
from torch import Tensor

from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError, counted, optional, some, unknown
from kakusan.evaluation.average import average
from kakusan.evaluation.protocol import how_seen
from kakusan.perception import Lpips, resizing
from kakusan.results import Measurement
from kakusan.sampling import Progress
from kakusan.seeing.seen import seen
from kakusan.seeing.sources import Stored

PAIRED = {"psnr": None, "ssim": None, "lpips": "lpips-alex", "lpips-vgg": "lpips-vgg"}
"""The network of every metric of pairs, if it has one."""
_VALUES = 2**20  # of either set, seen at a time
_WINDOW = 11  # pixels of SSIM's
_WHITE = 255.0

Measure = Callable[[Tensor, Tensor], Tensor]
"""From two times N images, uint8, to N numbers."""


def measure_pairs(
    a: ImageSet,
    b: ImageSet,
    metrics: Sequence[str],
    *,
    weights: Path | None = None,
    offline: bool = False,
    device: torch.device,
    show: bool = True,
) -> list[Measurement]:
    """Compares each image of one set with that of the same name in the other.

    Args:
        a: Images with names.
        b: Images with names: those that have no partner are left out.
        metrics: Names out of :data:`PAIRED`.
        weights: A place with pretrained weights of the user's own.
        offline: Never touch the network of computers.
        device: Where to compute.
        show: Whether to show progress.

    Raises:
        KakusanError: No names agree, images differ in shape or are too small, or weights are wanting.
    """
    pairs = Paired(a, b, *partners(a, b))
    if a.shape != b.shape:
        raise KakusanError(f"{a.name} holds images of shape {a.shape}, {b.name} of {b.shape}: compare like with like")
    found: list[Measurement] = []
    left: list[str] = []
    metrics = list(dict.fromkeys(metrics))
    seers = [_seer(metric, a.shape, weights, offline, device, show) for metric in metrics]
    with seen(pairs, seers, show) as stores:
        for metric, seer in zip(metrics, seers, strict=True):
            values = stores[seer.name]["pairs"].flatten().double()
            if values.isfinite().any():
                found.append(
                    _told(metric, values, {**pairs.provenance, **how_seen(seer), "range": "0 to 255"}, _unpaired(pairs))
                )
            else:
                left.append(f"all {len(values):,} pairs are identical: their {metric} is infinite, and left out")
    if not found:
        raise KakusanError(f"{left[0]} (measure ssim or lpips)")
    return [it.model_copy(update={"remarks": [*it.remarks, *left]}) for it in found]


@dataclass(frozen=True)
class Paired:
    """Images of two sets that belong together.

    Attributes:
        a, b: The sets.
        ours, theirs: Which images of either, int64, shape (n,).
    """

    a: ImageSet
    b: ImageSet
    ours: Tensor
    theirs: Tensor

    @property
    def name(self) -> str:
        return f"{self.a.name} and {self.b.name}"

    @property
    def n(self) -> int:
        return len(self.ours)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        ours, theirs = Stored(self.a).provenance, Stored(self.b).provenance
        return {
            "n": self.n,
            **{name: ours[name] for name in ("images", "images_hash")},
            "reference": theirs["images"],
            "reference_hash": theirs["images_hash"],
            "pairs": sha256(torch.stack([self.ours, self.theirs]).numpy().tobytes()).hexdigest()[:8],
        }

    def chunks(self, done: int, progress: Progress | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images of either set, uint8, shape (B, C, H, W)."""
        many = max(1, _VALUES // math.prod(self.a.shape))
        for ours, theirs in zip(*(torch.split(it[done:], many) for it in (self.ours, self.theirs)), strict=True):
            yield self.a.images[ours], self.b.images[theirs]


@dataclass(frozen=True)
class _Seer:
    """Sees of each pair the number that a metric gives it.

    Attributes:
        name, resize, device, library, layers: As of any seer.
        measure: The metric.
    """

    name: str
    resize: str
    device: torch.device
    library: str
    measure: Measure
    layers: ClassVar[dict[str, int]] = {"pairs": 1}

    def __call__(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Returns a number a pair of images, uint8, shape (B, C, H, W) each: (B, 1)."""
        return {"pairs": self.measure(a, b).float()[:, None]}


def partners(a: ImageSet, b: ImageSet) -> tuple[Tensor, Tensor]:
    """Returns the indices of images in ``a`` and ``b`` whose names are the same up to the suffix, in a's order.

    Raises:
        KakusanError: A set has no names, or none agree.
    """
    for images in (a, b):
        if not images.names:
            raise KakusanError(f"images are paired by file name, and those of {images.name} have none (give a folder)")
    for images in (a, b):
        stems = list(map(_stem, images.names))
        if len(set(stems)) < len(stems):
            twice = next(stem for stem in stems if stems.count(stem) > 1)
            raise KakusanError(f"{images.name} has more than one image called {twice}: which one is meant is unclear")
    number = {_stem(name): index for index, name in enumerate(b.names)}
    pairs = [(index, number[_stem(name)]) for index, name in enumerate(a.names) if _stem(name) in number]
    if not pairs:
        raise KakusanError(
            f"no image of {a.name} ({some(a.names, 2)}) has the name of one of {b.name} ({some(b.names, 2)}): "
            "images are paired by file name"
        )
    ours, theirs = torch.tensor(pairs).T
    return ours, theirs


def _unpaired(pairs: Paired) -> list[str]:
    """Returns a remark where some images have no partner."""
    left = len(pairs.a) + len(pairs.b) - 2 * pairs.n
    return [f"{counted(left, 'image')} of {pairs.name} have no partner and were left out"] if left else []


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _seer(
    metric: str, shape: tuple[int, ...], weights: Path | None, offline: bool, device: torch.device, show: bool
) -> _Seer:
    with optional(metric, "metrics"):
        from torchmetrics.functional import image as functional
    library = f"torchmetrics {version('torchmetrics')}"
    match metric:
        case "psnr":
            measure = partial(functional.peak_signal_noise_ratio, data_range=_WHITE, reduction="none", dim=(1, 2, 3))
        case "ssim":
            if min(shape[-2:]) < _WINDOW:
                raise KakusanError(f"SSIM looks through a window of {_WINDOW} pixels, and images are {shape[-1]} wide")
            measure = partial(functional.structural_similarity_index_measure, data_range=_WHITE, reduction="none")
        case "lpips" | "lpips-vgg":
            lpips = Lpips(str(PAIRED[metric]), weights, device=device, offline=offline, show=show)
            return _Seer(lpips.name, resizing(shape), device, library, lpips)
        case _:
            raise unknown("metric of pairs", metric, PAIRED)
    return _Seer(metric, "not at all", torch.device("cpu"), library, _of_floats(measure))


def _of_floats(measure: Callable[..., Tensor]) -> Measure:
    return lambda a, b: measure(a.float(), b.float()).reshape(-1)


def _told(metric: str, values: Tensor, protocol: dict[str, object], remarks: list[str]) -> Measurement:
    """Returns the mean and what is to be said of it; identical images, of infinite PSNR, are left out and counted."""
    finite = values[values.isfinite()]
    if len(finite) < len(values):
        same = counted(len(values) - len(finite), "pair")
        left = f"{same} of {len(values):,} are identical, without a finite {metric}, and left out of its mean"
        remarks = [*remarks, left]
    told = {"metric": metric, **protocol}
    return Measurement(metric=metric, **average(finite).model_dump(exclude={"real"}), protocol=told, remarks=remarks)
