"""What is said class by class, against sets of points of which it is known."""

import math

import pytest
import torch

from kakusan.evaluation.classes import Seen, by_class, covering, inception_score

NAMES = ("left", "right")


def points(centre, n=60, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) + torch.tensor([float(centre), 0.0])


def seen(*centres, seed=0, labelled=True, n=60):
    """Points around centres, each recognised by its side."""
    features = torch.cat([points(centre, n, seed + i) for i, centre in enumerate(centres)])
    labels = torch.arange(len(centres)).repeat_interleave(n)
    return Seen(features, (features[:, 0] > 0).long(), labels if labelled else None)


REAL, OTHER = seen(-9, 9), seen(-9, 9, seed=10)


def test_a_set_covers_itself_and_another_of_its_kind_nearly_all():
    assert covering(REAL.features, REAL.features).all()
    assert covering(OTHER.features, REAL.features).double().mean() > 0.9


def test_what_is_forgotten_is_not_covered():
    """Samples of the left class alone: all of it is covered, and nothing of the other."""
    left, right = by_class(seen(-9, -9, seed=20), REAL, OTHER, NAMES)
    assert left.coverage > 0.9
    assert right.coverage == 0
    assert min(left.real_coverage, right.real_coverage) > 0.9


def test_a_single_point_a_class_covers_few():
    collapsed = Seen(torch.tensor([[-9.0, 0], [9.0, 0]]).repeat(30, 1), torch.tensor([0, 1]).repeat(30), None)
    assert max(it.coverage for it in by_class(collapsed, REAL, OTHER, NAMES)) < 0.5


def test_shares_and_accuracy_are_counted():
    """Asked for both, the model draws the left class four times of five."""
    features = torch.cat([points(-9, 50), points(-9, 30, 1), points(9, 20, 2)])
    labels = torch.tensor([0] * 50 + [1] * 50)
    left, right = by_class(Seen(features, (features[:, 0] > 0).long(), labels), REAL, OTHER, NAMES)
    assert (left.share, right.share) == (0.8, pytest.approx(0.2))
    assert (left.real_share, right.real_share) == (0.5, 0.5)
    assert (left.accuracy, right.accuracy) == (1.0, 0.4)
    assert (left.n, right.n) == (50, 50)


def test_who_was_not_asked_for_classes_is_told_by_what_is_recognised():
    left, right = by_class(seen(-9, 9, seed=30, labelled=False), REAL, OTHER, NAMES)
    assert left.accuracy is right.accuracy is None
    assert (left.n, right.n) == (60, 60)
    assert max(left.frechet_distance, right.frechet_distance) < 1


def test_a_class_that_is_never_drawn_has_no_distance():
    left, right = by_class(seen(-9, -9, labelled=False), REAL, OTHER, NAMES)
    assert left.frechet_distance is not None
    assert right.frechet_distance is right.accuracy is None
    assert (right.n, right.share) == (0, 0.0)


def test_the_floor_is_of_as_many():
    few = by_class(seen(-9, 9, seed=40, n=10), REAL, OTHER, NAMES)
    many = by_class(seen(-9, 9, seed=40), REAL, OTHER, NAMES)
    assert few[0].noise_floor > many[0].noise_floor


@pytest.mark.parametrize(
    ("logits", "score"),
    [
        (torch.zeros(8, 4), 1.0),  # nothing is told apart
        (100 * torch.eye(4), 4.0),  # each without doubt, all alike
        (100 * torch.eye(4)[[0, 0, 1, 1]], 2.0),  # two of four are never seen
        (torch.tensor([[0.0, 0.0, 0, 0]]), 1.0),
    ],
)
def test_the_inception_score_counts_what_is_told_apart(logits, score):
    assert inception_score(logits) == pytest.approx(score)


def test_the_inception_score_is_the_definition():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)).double()
    p = logits.softmax(1)
    divergence = (p * (p / p.mean(0)).log()).sum(1).mean()
    assert inception_score(logits) == pytest.approx(math.exp(divergence))


def test_a_class_is_covered_by_samples_of_its_own_alone():
    """Two classes in one place, of which the second is never asked for."""
    real, other = seen(0, 0), seen(0, 0, seed=10)
    asked = Seen(points(0, 120, 20), torch.zeros(120, dtype=torch.long), torch.zeros(120, dtype=torch.long))
    first, second = by_class(asked, real, other, NAMES)
    assert first.coverage > 0.9
    assert second.coverage == 0
