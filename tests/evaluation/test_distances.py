"""The Fréchet distance, where its value is known."""

import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.evaluation.distances import frechet_distance


def features(count=50, length=4, seed=0):
    return torch.randn(count, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(mean, deviation, seed=0):
    """Returns features whose mean and covariance are exactly μ and diag(s²)."""
    x = features(100, len(mean), seed)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / 99)).T
    return torch.tensor(mean) + white * torch.tensor(deviation)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (((0.0, 0.0), (1.0, 1.0)), ((3.0, 4.0), (1.0, 1.0))),
        (((0.0, 0.0), (1.0, 2.0)), ((0.0, 0.0), (4.0, 0.5))),
        (((1.0, -1.0, 0.5), (1.0, 0.1, 3.0)), ((0.0, 2.0, 0.5), (0.2, 0.3, 3.0))),
        (((1.0,), (2.0,)), ((-1.0,), (5.0,))),
    ],
)
def test_of_diagonal_gaussians(a, b):
    """d = Σ (μ_a − μ_b)² + (s_a − s_b)², an axis at a time."""
    expected = sum(
        (x - y) ** 2 for part_a, part_b in zip(a, b, strict=True) for x, y in zip(part_a, part_b, strict=True)
    )
    assert frechet_distance(with_moments(*a), with_moments(*b, seed=1)) == pytest.approx(expected, rel=1e-9)


def test_of_a_set_from_itself_it_is_nothing():
    assert frechet_distance(features(), features()) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features(), features().flip(0)) == pytest.approx(0, abs=1e-9)


def test_it_is_symmetric_and_never_negative():
    a, b = features(seed=0), 0.3 * features(60, seed=1) + 1
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a + 1e-12) >= 0


def test_turning_and_moving_both_changes_nothing():
    a, b = features(seed=0), 0.3 * features(60, seed=1) + 1
    rotation, _ = torch.linalg.qr(features(4, 4, seed=2))
    assert frechet_distance(a @ rotation + 5, b @ rotation + 5) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_a_move_counts_squared():
    a = features()
    shift = torch.tensor([1.0, 2.0, -2.0, 0.0], dtype=torch.float64)
    assert frechet_distance(a, a + shift) == pytest.approx(9, rel=1e-9)


def test_fewer_images_than_features_are_no_trouble():
    """Covariances are then singular, and nothing becomes NaN."""
    a, b = features(5, 64, seed=0), features(7, 64, seed=1)
    assert 0 < frechet_distance(a, b) < 1e3
    assert frechet_distance(torch.zeros(3, 8), torch.ones(3, 8)) == pytest.approx(8)


def test_float32_is_taken_as_it_is():
    a, b = features(seed=0), features(seed=1)
    assert frechet_distance(a.float(), b.float()) == pytest.approx(frechet_distance(a, b), rel=1e-5)


@pytest.mark.parametrize("shapes", [((1, 4), (5, 4)), ((5, 4), (5, 3)), ((5,), (5,)), ((5, 4), (0, 4))])
def test_what_cannot_be_compared_is_refused(shapes):
    with pytest.raises(KakusanError, match="needs two sets of at least 2 features of one length"):
        frechet_distance(*(torch.zeros(shape) for shape in shapes))
