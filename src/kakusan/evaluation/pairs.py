"""Metrics of images that belong together, such as a reconstruction and what it was made from: PSNR, SSIM, LPIPS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError, counted, some, unknown
from kakusan.evaluation.average import average
from kakusan.evaluation.perception import Lpips, resizing
from kakusan.evaluation.sources import Stored
from kakusan.progress import Bar
from kakusan.results import Measurement

PAIRED = ("psnr", "ssim", "lpips", "lpips-vgg")
_CHUNK = 64
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
    ours, theirs = partners(a, b)
    if a.shape != b.shape:
        raise KakusanError(f"{a.name} holds images of shape {a.shape}, {b.name} of {b.shape}: compare like with like")
    found: list[Measurement] = []
    left: list[str] = []
    sides = _sides(a, b, len(ours))
    for metric in metrics:
        each, told = _measure_of(metric, a.shape, weights, offline, device, show)
        values = []
        with Bar(f"measuring {metric}", len(ours), show=show) as bar:
            for start in range(0, len(ours), _CHUNK):
                part = slice(start, start + _CHUNK)
                values.append(each(a.images[ours[part]], b.images[theirs[part]]).double())
                bar.update(start + len(values[-1]))
        together = torch.cat(values)
        if not together.isfinite().any():
            left.append(f"all {len(together):,} pairs are identical: their {metric} is infinite, and left out")
            continue
        found.append(_told(metric, together, {**told, **sides}, _unpaired(a, b, len(ours))))
    if not found:
        raise KakusanError(f"{left[0]} (measure ssim or lpips)")
    return [it.model_copy(update={"remarks": [*it.remarks, *left]}) for it in found]


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


def _unpaired(a: ImageSet, b: ImageSet, pairs: int) -> list[str]:
    """Returns a remark where some images have no partner."""
    left = len(a) + len(b) - 2 * pairs
    return [f"{counted(left, 'image')} of {a.name} and {b.name} have no partner and were left out"] if left else []


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _measure_of(
    metric: str, shape: tuple[int, ...], weights: Path | None, offline: bool, device: torch.device, show: bool
) -> tuple[Measure, dict[str, str]]:
    """Returns a metric, and what its protocol says of it."""
    try:
        from torchmetrics.functional import image as functional
    except ImportError as error:
        raise KakusanError(
            f"{metric} needs torchmetrics, which is not installed (pip install 'kakusan[metrics]')"
        ) from error
    told = {"torchmetrics": version("torchmetrics"), "kakusan": version("kakusan"), "torch": torch.__version__}
    match metric:
        case "psnr":
            measure = partial(functional.peak_signal_noise_ratio, data_range=_WHITE, reduction="none", dim=(1, 2, 3))
            return _of_floats(measure), told
        case "ssim":
            if min(shape[-2:]) < _WINDOW:
                raise KakusanError(f"SSIM looks through a window of {_WINDOW} pixels, and images are {shape[-1]} wide")
            measure = partial(functional.structural_similarity_index_measure, data_range=_WHITE, reduction="none")
            return _of_floats(measure), told
        case "lpips" | "lpips-vgg":
            net = "vgg" if metric == "lpips-vgg" else "alex"
            lpips = Lpips(net, weights, device=device, offline=offline, show=show)
            return lpips, {**told, "features": lpips.name, "resize": resizing(shape)}
    raise unknown("metric of pairs", metric, PAIRED)


def _of_floats(measure: Callable[..., Tensor]) -> Measure:
    return lambda a, b: measure(a.float(), b.float()).reshape(-1)


def _sides(a: ImageSet, b: ImageSet, n: int) -> dict[str, object]:
    ours, theirs = Stored(a).told, Stored(b).told
    return {
        "n": n,
        **{name: ours[name] for name in ("images", "images_hash")},
        "reference": theirs["images"],
        "reference_hash": theirs["images_hash"],
    }


def _told(metric: str, values: Tensor, protocol: dict[str, object], remarks: list[str]) -> Measurement:
    """Returns the mean and what is to be said of it; identical images, of infinite PSNR, are left out and counted."""
    finite = values[values.isfinite()]
    if len(finite) < len(values):
        same = counted(len(values) - len(finite), "pair")
        why = "identical" if metric == "psnr" else "of one colour alone"
        remarks = [
            *remarks,
            f"{same} of {len(values):,} are {why}, without a finite {metric}, and left out of its mean",
        ]
    told = {"metric": metric, **protocol}
    return Measurement(metric=metric, **average(finite).model_dump(exclude={"real"}), protocol=told, remarks=remarks)
