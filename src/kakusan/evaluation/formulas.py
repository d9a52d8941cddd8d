"""From features to numbers and the doubt about them: torch-fidelity's formulas, on features that stay on the disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from statistics import mean, stdev
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kakusan import proportions
from kakusan.errors import KakusanError
from kakusan.evaluation.average import average
from kakusan.evaluation.copies import nearest, threshold
from kakusan.evaluation.moments import Moments, frechet_distance

BLOCKS = 10
_PER_FEATURE = 4  # samples a feature, from which on the bias falls as it should
_SUBSETS, _SUBSET = 100, 1000  # of KID (Bińkowski et al., 2018)
_ROWS = 1000  # of a matrix of distances at a time
_NEIGHBOURS = 3
_CROWD = 10  # times as many, of fewer of which in a block nearly all are neighbours of all
_SEED = 2020  # torch-fidelity's own
FEW_LOGITS = 5_000
"""Images, of fewer of which an Inception score says little."""
_PAIRS = 20  # fewer tell nothing of how far they are spread


@dataclass(frozen=True)
class Estimate:
    """A number and the doubt about it.

    Attributes:
        value: What a formula found.
        interval: Its confidence interval of 95 %, over draws of as many samples; None where these are too few.
        infinity: What it would be of infinitely many samples, against the same real images; None where unknown.
        stamp: What a stamp says of how it was found.
    """

    value: float
    interval: tuple[float, float] | None = None
    infinity: float | None = None
    stamp: Mapping[str, Any] = field(default_factory=dict)


def frechet(samples: Tensor, real: Tensor | Moments, doubt: bool = True) -> dict[str, Estimate]:
    """Returns the Fréchet distance: its interval by leaving out a tenth at a time, and its limit for many samples.

    What is drawn anew, in thought, are the samples; the real images stay. The bias of the distance falls with one over
    the number of samples, where these are several times as many as there are features: a line through the distance of
    all and the mean of the two halves' then meets the limit. More points on that line made it no truer; below 0, where
    chance may lead it, no distance is. The bias of the real images' number stays in it.

    Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017; Chong & Forsyth, "Effectively Unbiased
    FID and Inception Score and Where to Find Them", 2020, for the limit.
    """
    real = real if isinstance(real, Moments) else Moments.of(real)
    if not doubt or len(samples) < 2 * BLOCKS:
        return {"fid": Estimate(frechet_distance(Moments.of(samples), real))}
    tenths = _parts(len(samples))
    # Moments of those from each tenth on; those before it are gathered on the way. No more than these are held at once.
    after = [Moments.of(samples[tenths[-1]])]
    for tenth in reversed(tenths[:-1]):
        after.insert(0, (Moments.of(samples[tenth]) + after[0]).short())
    before, middle, without = None, None, []
    for i, tenth in enumerate(tenths):
        middle = before if i == BLOCKS // 2 else middle
        others = [it for it in (before, *after[i + 1 : i + 2]) if it is not None]
        without.append(frechet_distance(others[0] if len(others) == 1 else others[0] + others[1], real))
        own = Moments.of(samples[tenth])
        before = own if before is None else (before + own).short()
    error = math.sqrt((BLOCKS - 1) / BLOCKS * sum((it - mean(without)) ** 2 for it in without))
    value, infinity = frechet_distance(after[0], real), None
    if middle is not None and len(samples) >= _PER_FEATURE * samples.shape[1]:
        halves = [frechet_distance(half, real) for half in (middle, after[BLOCKS // 2])]
        infinity = max(0.0, 2 * value - mean(halves))
    low, high = _around(value, error, BLOCKS)
    return {"fid": Estimate(value, (max(0.0, low), high), infinity)}


def kernel(samples: Tensor, real: Tensor, doubt: bool = True) -> dict[str, Estimate]:
    """Returns the kernel distance, of a cubic polynomial, averaged over random subsets; it has no bias.

    Its interval is that of a mean over disjoint blocks of either side, ten of them or as many as hold a subset each,
    for samples and real images are drawn anew; and the random subsets as well, whose own doubt is added.

    Source: Bińkowski et al., "Demystifying MMD GANs", 2018.
    """
    from torch_fidelity.metric_kid import (
        KEY_METRIC_KID_MEAN,
        KEY_METRIC_KID_STD,
        kernel_mmd,
        kid_features_to_metric,
    )

    subset = min(_SUBSET, len(samples), len(real))
    told = kid_features_to_metric(
        samples, real, kid_subsets=_SUBSETS, kid_subset_size=subset, rng_seed=_SEED, verbose=False
    )
    value, stamp = told[KEY_METRIC_KID_MEAN], {"subset": subset}
    if not doubt:
        return {"kid": Estimate(value, stamp=stamp)}
    # More than a subset of each would take memory that grows with the square of their number.
    pairs = _pairs(samples, real, max(BLOCKS, min(len(samples), len(real)) // _SUBSET), subset)
    blocks = [kernel_mmd(a.numpy(), b.numpy()) for a, b in pairs if len(a) > 1]
    by_subsets = told[KEY_METRIC_KID_STD] / math.sqrt(_SUBSETS)
    return {"kid": Estimate(value, _of_blocks(value, blocks, by_subsets), stamp=stamp)}


def inception(samples: Tensor, doubt: bool = True) -> dict[str, Estimate]:
    """Returns the Inception score of logits: high where each image is of one class, and all are of many.

    Its interval is that of a mean over ten disjoint tenths, where these are large enough to say anything.

    Source: Salimans et al., "Improved Techniques for Training GANs", 2016.
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    parts = [part for part in _parts(len(samples)) if len(part)]
    scores = [isc_features_to_metric(samples[part], splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN] for part in parts]
    sure = doubt and len(samples) >= FEW_LOGITS
    return {"is": Estimate(mean(scores), _of_blocks(mean(scores), scores) if sure else None)}


def precision_recall(samples: Tensor, real: Tensor, doubt: bool = True) -> dict[str, Estimate]:
    """Returns the share of samples that lie among real images, and of real images that lie among samples.

    Their intervals are those of means over ten pairs of disjoint tenths, whose own values are others, since neighbours
    lie farther apart there: of the width alone use is made. No interval is narrower than that of a share of as many.

    Source: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", 2019.
    """
    names = ("precision", "recall")
    values = _precision_recall(samples, real)
    pairs = _pairs(samples, real) if doubt else []
    blocks = [_precision_recall(a, b) for a, b in pairs if min(len(a), len(b)) >= _CROWD * _NEIGHBOURS]
    found = {}
    for i, (name, judged) in enumerate(zip(names, (samples, real), strict=True)):
        interval = _of_blocks(values[i], [block[i] for block in blocks])
        if interval is not None:
            share = proportions.interval(values[i], len(judged))
            interval = max(0.0, min(interval[0], share[0])), min(1.0, max(interval[1], share[1]))
        found[name] = Estimate(values[i], interval)
    return found


def diversity(pairs: Tensor, doubt: bool = True) -> dict[str, Estimate]:
    """Returns the mean distance within pairs of one class, shape (N, 1), NaN for no pair: 0 where all look alike.

    Raises:
        KakusanError: There is no pair.
    """
    found = pairs[pairs.isfinite()].double()
    if not len(found):
        raise KakusanError(f"among {len(pairs):,} images no two of one class were seen together (measure more)")
    apart = average(found, _PAIRS)
    return {"diversity": Estimate(apart.value, apart.interval if doubt else None)}


def copies(samples: Tensor, real: Tensor, *mirrored: Tensor, doubt: bool = True) -> dict[str, Estimate]:
    """Returns the share of samples nearer to a real image than one real image in a hundred is to another.

    Real images that a model saw mirrored, too, count in both views.
    """
    share = nearest(samples, real, *mirrored).copies(threshold(real))
    return {"copies": Estimate(share, proportions.interval(share, len(samples)) if doubt else None)}


def _precision_recall(samples: Tensor, real: Tensor) -> tuple[float, float]:
    from torch_fidelity.metric_prc import calculate_precision_recall_part

    told: tuple[float, float] = calculate_precision_recall_part(samples, real, _NEIGHBOURS, _ROWS)
    return told


def _parts(count: int, blocks: int = BLOCKS) -> list[Tensor]:
    """Returns which images make up each block: in torch-fidelity's order, for images may lie class by class."""
    order = torch.from_numpy(np.random.RandomState(_SEED).permutation(count))
    cuts = [i * count // blocks for i in range(blocks + 1)]
    return [order[a:b] for a, b in pairwise(cuts)]


def _pairs(
    samples: Tensor, real: Tensor, blocks: int = BLOCKS, most: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields a block of either side, one after the other; as many of both, and no more than ``most``, if that is given.

    They are taken before they are read, for blocks of a large set are large.
    """
    for ours, theirs in zip(_parts(len(samples), blocks), _parts(len(real), blocks), strict=True):
        size = None if most is None else min(len(ours), len(theirs), most)
        yield samples[ours[:size]], real[theirs[:size]]


def _of_blocks(value: float, blocks: Sequence[float], more: float = 0.0) -> tuple[float, float] | None:
    """Returns an interval around a mean over disjoint blocks, that has ``more`` errors besides."""
    count = len(blocks)
    if count < BLOCKS:
        return None
    return _around(value, math.hypot(stdev(blocks) / math.sqrt(count), more), count)


def _around(value: float, error: float, count: int) -> tuple[float, float]:
    """Returns the confidence interval of a value whose standard error was found from so many numbers."""
    half = proportions.student(count) * error
    return value - half, value + half


@dataclass(frozen=True)
class Formula:
    """A metric of features.

    Attributes:
        network, layer: Whose features.
        measure: From the features of samples, and those of real images or their moments, to one estimate or several.
        fewest: Images that it needs on each side.
        compares: Whether with real images.
        of_moments: Whether their moments suffice for that.
        of_training: Whether with those alone that a model learned from, where it is known which these are.
        within_class: Whether it tells apart what is of one class.
        stamp: What else a stamp says of it.
    """

    network: str
    layer: str
    measure: Callable[..., dict[str, Estimate]]
    _: KW_ONLY
    fewest: int = 2
    compares: bool = False
    of_moments: bool = False
    of_training: bool = False
    within_class: bool = False
    stamp: Mapping[str, Any] = field(default_factory=dict)


FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {
        "fid": Formula("inception", "2048", frechet, compares=True, of_moments=True),
        "is": Formula("inception", "logits_unbiased", inception, stamp={"splits": BLOCKS}),
        "kid": Formula("inception", "2048", kernel, compares=True, stamp={"subsets": _SUBSETS}),
        "prc": Formula(
            "vgg16",
            "fc2_relu",
            precision_recall,
            fewest=_NEIGHBOURS + 1,
            compares=True,
            stamp={"neighbours": _NEIGHBOURS},
        ),
        "copies": Formula("inception", "2048", copies, compares=True, of_training=True),
        "copies-pixels": Formula("pixels", "pixels", copies, compares=True, of_training=True),
        "diversity": Formula("lpips-alex", "pairs", diversity, within_class=True),
        "diversity-vgg": Formula("lpips-vgg", "pairs", diversity, within_class=True),
    }
)
