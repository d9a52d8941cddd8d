"""Class by class: whether every class is drawn, as what it was asked for, and how much of its variety."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kakusan.evaluation.moments import frechet_distance
from kakusan.results import OfClass

_NEIGHBOURS = 5  # of Naeem et al.
_ROWS = 500  # of a matrix of distances at a time


@dataclass(frozen=True, eq=False)
class Seen:
    """Images as a classifier sees them.

    Attributes:
        features: Shape (n, D).
        guesses: The class that each is taken for, shape (n,).
        labels: The class that each belongs to, or was asked to belong to, shape (n,); None where nobody asked.
    """

    features: Tensor
    guesses: Tensor
    labels: Tensor | None

    @property
    def classes(self) -> Tensor:
        """The class of each: as asked for, or as it is taken for."""
        return self.guesses if self.labels is None else self.labels


def by_class(samples: Seen, real: Seen, other: Seen, class_names: Sequence[str]) -> tuple[OfClass, ...]:
    """Returns what samples of each class are like, beside other real images in their place.

    Args:
        samples: The samples.
        real: Real images that they are compared with, with labels.
        other: Other real images, with labels.
        class_names: The classes.
    """
    assert real.labels is not None
    assert other.labels is not None
    found = []
    # Sorted alike: where nobody asked for classes, real images too are what they are taken for.
    kinds = (real.labels, other.labels) if samples.labels is not None else (real.guesses, other.guesses)
    for label, name in enumerate(class_names):
        of, (theirs, others) = samples.classes == label, (kind == label for kind in kinds)
        n = min(int(of.sum()), int(others.sum()))
        found.append(
            OfClass(
                name=name,
                n=int(of.sum()),
                real_n=int(theirs.sum()),
                share=_mean(samples.guesses == label) or 0.0,
                real_share=_mean(other.guesses == label) or 0.0,
                accuracy=None if samples.labels is None else _mean(samples.guesses[of] == label),
                coverage=_coverage(samples.features[of], real.features[theirs]),
                real_coverage=_coverage(other.features[others], real.features[theirs]),
                frechet_distance=_distance(samples.features[of][:n], real.features[theirs]),
                noise_floor=_distance(other.features[others][:n], real.features[theirs]),
            )
        )
    return tuple(found)


def covering(samples: Tensor, real: Tensor) -> Tensor:
    """Returns which real images have a sample in their neighbourhood, bool, shape (N,).

    The neighbourhood of a real image reaches to the fifth nearest other one. The share of those covered is called
    coverage; a model that forgets a part of the data leaves that part uncovered.

    Args:
        samples: Features, shape (n, D).
        real: Features, shape (N, D).

    Source: Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020.
    """
    covered = []
    nearest = min(_NEIGHBOURS + 1, len(real))  # each is its own nearest one
    for part in torch.split(real, _ROWS):
        radius = torch.cdist(part, real).kthvalue(nearest, dim=1).values
        covered.append(torch.cdist(part, samples).amin(1) <= radius)
    return torch.cat(covered)


def inception_score(logits: Tensor) -> float:
    """Returns the Inception score of a classifier's logits, shape (n, K): 1 where it tells nothing apart, at most K.

    It is high where each image is of one class beyond doubt, and all together are of many. With another classifier in
    Inception's place it compares with nothing but itself.

    Source: Salimans et al., "Improved Techniques for Training GANs", 2016.
    """
    log = logits.double().log_softmax(1)
    overall = log.logsumexp(0) - math.log(len(log))
    return float((log.exp() * (log - overall)).sum(1).mean().exp())


def _coverage(samples: Tensor, real: Tensor) -> float | None:
    """Returns the share of a class's real images that have a sample of the same class in their neighbourhood."""
    if not len(real):
        return None
    return _mean(covering(samples, real)) if len(samples) else 0.0


def _distance(samples: Tensor, real: Tensor) -> float | None:
    return frechet_distance(samples, real) if min(len(samples), len(real)) > 1 else None


def _mean(which: Tensor) -> float | None:
    return which.double().mean().item() if len(which) else None
