"""From features to numbers and the doubt about them: torch-fidelity's formulas, on features that stay on the disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import mean, stdev
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from kakusan.evaluation.copies import nearest, share_interval
from kakusan.evaluation.moments import Moments, frechet_distance

BLOCKS = 10
_CONFIDENCE = 1.96  # standard errors, of 95 %
_SUBSETS, _SUBSET = 100, 1000  # of KID (Bińkowski et al., 2018)
_ROWS = 1000  # of a matrix of distances at a time
_NEIGHBOURS = 3
_SEED = 2020  # torch-fidelity's own


@dataclass(frozen=True)
class Estimate:
    """A number and the doubt about it.

    Attributes:
        value: It.
        interval: Where it would lie for 95 of 100 other draws of as many samples; None where these are too few.
        infinity: What it would be of infinitely many; None where that is not known.
    """

    value: float
    interval: tuple[float, float] | None = None
    infinity: float | None = None


def frechet(samples: Tensor, real: Tensor | Moments) -> dict[str, Estimate]:
    """Returns the Fréchet distance: its interval by leaving out a tenth at a time, and its limit for many samples.

    Its bias falls with one over the number of samples, so a line through the distance of all and the mean of the two
    halves' meets the limit. More points on that line, of parts that overlap or are smaller, made it no truer.

    Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017; Chong & Forsyth, "Effectively Unbiased
    FID and Inception Score and Where to Find Them", 2020, for the limit.
    """
    real = real if isinstance(real, Moments) else Moments.of(real)
    if len(samples) < 2 * BLOCKS:
        return {"fid": Estimate(frechet_distance(Moments.of(samples), real))}
    blocks = [Moments.of(block) for block in samples.tensor_split(BLOCKS)]
    first = list(accumulate(blocks))
    last = list(accumulate(reversed(blocks)))[::-1]
    others = [last[1], *(first[i - 1] + last[i + 1] for i in range(1, BLOCKS - 1)), first[-2]]
    without = [frechet_distance(other, real) for other in others]
    error = math.sqrt((BLOCKS - 1) / BLOCKS * sum((it - mean(without)) ** 2 for it in without))
    value = frechet_distance(first[-1], real)
    halves = [frechet_distance(half, real) for half in (first[BLOCKS // 2 - 1], last[BLOCKS // 2])]
    return {"fid": Estimate(value, _around(value, error), 2 * value - mean(halves))}


def kernel(samples: Tensor, real: Tensor) -> dict[str, Estimate]:
    """Returns the kernel distance, of a cubic polynomial, averaged over random subsets; it has no bias.

    Source: Bińkowski et al., "Demystifying MMD GANs", 2018.
    """
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kernel_mmd, kid_features_to_metric

    subset = min(_SUBSET, len(samples), len(real))
    told = kid_features_to_metric(
        samples, real, kid_subsets=_SUBSETS, kid_subset_size=subset, rng_seed=_SEED, verbose=False
    )
    pairs = zip(samples.tensor_split(BLOCKS), real.tensor_split(BLOCKS), strict=True)
    each = [(a[:_SUBSET], b[:_SUBSET]) for a, b in pairs]
    blocks = [kernel_mmd(a[: len(b)].numpy(), b[: len(a)].numpy()) for a, b in each if min(len(a), len(b)) > 1]
    return {"kid": Estimate(told[KEY_METRIC_KID_MEAN], _of_blocks(told[KEY_METRIC_KID_MEAN], blocks))}


def inception(samples: Tensor) -> dict[str, Estimate]:
    """Returns the Inception score of logits: high where each image is of one class, and all are of many.

    Source: Salimans et al., "Improved Techniques for Training GANs", 2016.
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    order = torch.from_numpy(np.random.RandomState(_SEED).permutation(len(samples)))
    cuts = [i * len(samples) // BLOCKS for i in range(BLOCKS + 1)]
    parts = [order[a:b] for a, b in pairwise(cuts) if b > a]
    scores = [isc_features_to_metric(samples[part], splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN] for part in parts]
    return {"is": Estimate(mean(scores), _of_blocks(mean(scores), scores))}


def precision_recall(samples: Tensor, real: Tensor) -> dict[str, Estimate]:
    """Returns the share of samples that lie among real images, and of real images that lie among samples.

    Source: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", 2019.
    """
    names = ("precision", "recall")
    values = _precision_recall(samples, real)
    pairs = zip(samples.tensor_split(BLOCKS), real.tensor_split(BLOCKS), strict=True)
    blocks = [_precision_recall(a, b) for a, b in pairs if min(len(a), len(b)) > _NEIGHBOURS]
    return {
        name: Estimate(values[i], _of_blocks(values[i], [block[i] for block in blocks])) for i, name in enumerate(names)
    }


def diversity(pairs: Tensor) -> dict[str, Estimate]:
    """Returns the mean distance within pairs of one class, shape (N, 1), NaN for no pair: 0 where all look alike."""
    found = pairs[pairs.isfinite()].double()
    if not len(found):
        return {"diversity": Estimate(math.nan)}
    value, error = found.mean().item(), found.std().item() / math.sqrt(len(found))
    return {"diversity": Estimate(value, _around(value, error) if len(found) > 1 else None)}


def copies(samples: Tensor, real: Tensor) -> dict[str, Estimate]:
    """Returns the share of samples nearer to a real image than one real image in a hundred is to another."""
    found = int(nearest(samples, real).copies.sum())
    return {"copies": Estimate(found / len(samples), share_interval(found, len(samples)))}


def _precision_recall(samples: Tensor, real: Tensor) -> tuple[float, float]:
    from torch_fidelity.metric_prc import calculate_precision_recall_part

    told: tuple[float, float] = calculate_precision_recall_part(samples, real, _NEIGHBOURS, _ROWS)
    return told


def _of_blocks(value: float, blocks: Sequence[float]) -> tuple[float, float] | None:
    """Returns an interval around a mean over disjoint blocks."""
    return _around(value, stdev(blocks) / math.sqrt(len(blocks))) if len(blocks) == BLOCKS else None


def _around(value: float, error: float) -> tuple[float, float]:
    return value - _CONFIDENCE * error, value + _CONFIDENCE * error


@dataclass(frozen=True)
class Formula:
    """A metric of features.

    Attributes:
        network, layer: Whose features.
        fewest: Images that it needs on each side.
        compares: Whether with real images.
        of_moments: Whether their moments suffice for that.
        measure: From the features of samples, and those of real images or their moments, to one estimate or several.
    """

    network: str
    layer: str
    fewest: int
    compares: bool
    of_moments: bool
    measure: Callable[..., dict[str, Estimate]]


FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {
        "fid": Formula("inception", "2048", 2, True, True, frechet),
        "is": Formula("inception", "logits_unbiased", 2, False, False, inception),
        "kid": Formula("inception", "2048", 2, True, False, kernel),
        "prc": Formula("vgg16", "fc2_relu", _NEIGHBOURS + 1, True, False, precision_recall),
        "copies": Formula("inception", "2048", 2, True, False, copies),
        "diversity": Formula("lpips-alex", "pairs", 2, False, False, diversity),
        "diversity-vgg": Formula("lpips-vgg", "pairs", 2, False, False, diversity),
    }
)
