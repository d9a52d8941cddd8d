"""Moments of features, and the Fréchet distance where its value is known."""

import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.evaluation.moments import Moments, frechet_distance


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


@pytest.mark.parametrize("count", [3, 40, 1000])
def test_one_pass_and_two_merged_ones_agree(count):
    x = features(count, 8) * torch.logspace(-6, 3, 8, dtype=torch.float64) + 1
    whole, cut = Moments.of(x), max(1, count // 3)
    merged = Moments.of(x[:cut]) + Moments.of(x[cut:])
    for it in (whole, merged):
        assert it.n == count
        torch.testing.assert_close(it.mean, x.mean(0), rtol=1e-12, atol=0)
        spread = x.std(0)[:, None] * x.std(0)
        torch.testing.assert_close(it.covariance / spread, torch.cov(x.T) / spread, rtol=1e-8, atol=1e-12)
    reference = Moments.of(features(50, 8, seed=1))
    assert frechet_distance(merged, reference) == pytest.approx(frechet_distance(whole, reference), rel=1e-8)


def test_moments_survive_the_way_through_a_covariance():
    x = Moments.of(features())
    again = Moments.from_covariance(x.n, x.mean, x.covariance)
    assert frechet_distance(x, again) == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(again.covariance, x.covariance)


@pytest.mark.parametrize("shape", [(0, 4), (4,)])
def test_moments_of_nothing_are_refused(shape):
    with pytest.raises(KakusanError, match=r"moments are of features of shape \(N, D\)"):
        Moments.of(torch.zeros(shape))


def test_a_case_known_to_many_digits():
    """Two covariances that do not commute, whose eigenvalues are far apart: worked out in rational arithmetic.

    For 2×2 matrices, tr √M = √(tr M + 2 √det M).
    """
    from decimal import Decimal, getcontext

    getcontext().prec = 200
    a, b = (
        ((Decimal(2), Decimal(1)), (Decimal(1), Decimal(3))),
        ((Decimal("1e6"), Decimal(-3)), (Decimal(-3), Decimal("1e-4"))),
    )
    product = [[sum(a[i][k] * b[k][j] for k in range(2)) for j in range(2)] for i in range(2)]
    determinant = product[0][0] * product[1][1] - product[0][1] * product[1][0]
    cross = (product[0][0] + product[1][1] + 2 * determinant.sqrt()).sqrt()
    expected = a[0][0] + a[1][1] + b[0][0] + b[1][1] - 2 * cross + Decimal("0.25")
    gaussians = (
        Moments.from_covariance(
            100,
            torch.tensor(mean, dtype=torch.float64),
            torch.tensor([[float(x) for x in row] for row in covariance], dtype=torch.float64),
        )
        for mean, covariance in (((0.0, 0.0), a), ((0.5, 0.0), b))
    )
    assert frechet_distance(*gaussians) == pytest.approx(float(expected), rel=1e-12)


def test_what_is_no_number_is_no_distance():
    with pytest.raises(KakusanError, match="is no number"):
        frechet_distance(torch.full((5, 3), torch.nan), torch.zeros(5, 3))
