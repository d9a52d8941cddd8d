"""Formulas of features, where what they estimate is known."""

import math

import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.evaluation import formulas
from kakusan.evaluation.moments import Moments, frechet_distance

pytest.importorskip("torch_fidelity")


def normal(count, dimensions=16, seed=0, shift=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(count, dimensions, generator=generator)


STANDARD = Moments.from_covariance(10**6, torch.zeros(64, dtype=torch.float64), torch.eye(64, dtype=torch.float64))
TRUTH = 64 * (0.1**2 + 0.2**2)


@pytest.mark.parametrize("count", [300, 1000])
def test_the_limit_of_the_frechet_distance_is_nearer_to_the_truth_than_the_distance(count):
    """Samples of N(0.1, 1.2²) against N(0, 1) in 64 dimensions."""
    found = [formulas.frechet(normal(count, 64, seed, 0.1, 1.2), STANDARD)["fid"] for seed in range(8)]
    off = [abs(it.infinity - TRUTH) for it in found]
    biased = [it.value - TRUTH for it in found]
    assert min(biased) > 0
    assert sum(off) < 0.4 * sum(biased)


def test_the_interval_of_the_frechet_distance_is_as_wide_as_others_draws_lie_apart():
    found = [formulas.frechet(normal(1000, 64, seed, 0.1, 1.2), STANDARD)["fid"] for seed in range(20)]
    spread = torch.tensor([it.value for it in found]).std().item()
    half = sum(high - low for low, high in (it.interval for it in found)) / 2 / len(found)
    assert 0.6 < half / (1.96 * spread) < 1.6


def test_where_samples_are_few_beside_features_no_limit_is_told():
    assert formulas.frechet(normal(255, 64), STANDARD)["fid"].infinity is None
    assert formulas.frechet(normal(256, 64), STANDARD)["fid"].infinity is not None


def in_order(count, seed):
    """Features of images that lie class by class, each of ten classes elsewhere."""
    return normal(count, 8, seed) + 0.3 * (torch.arange(count) * 10 // count)[:, None]


@pytest.mark.parametrize("name", ["fid", "kid", "prc"])
def test_the_doubt_does_not_ask_in_which_order_images_lie(name):
    """A folder's images lie class by class, and a model may draw each class in turn."""
    samples, real = in_order(600, 0), in_order(600, 1)
    mixed = samples[torch.randperm(600, generator=torch.Generator().manual_seed(2))]
    ordered, shuffled = (formulas.FORMULAS[name].measure(it, real) for it in (samples, mixed))
    for metric, found in ordered.items():
        widths = [it.interval[1] - it.interval[0] for it in (found, shuffled[metric])]
        assert found.value == pytest.approx(shuffled[metric].value, rel=0.05, abs=0.02)
        assert 0.4 < widths[0] / widths[1] < 2.5
        if found.infinity is not None:
            assert abs(found.infinity - found.value) < 3 * widths[0]


def test_a_pair_is_needed_to_tell_diversity():
    with pytest.raises(KakusanError, match="among 5 images no two of one class"):
        formulas.diversity(torch.full((5, 1), torch.nan))


def test_few_samples_have_a_distance_and_no_more():
    samples = normal(19)
    (found,) = formulas.frechet(samples, normal(50, seed=1)).values()
    assert found == formulas.Estimate(frechet_distance(samples, normal(50, seed=1)))


def test_the_kernel_distance_has_no_bias():
    found = [
        formulas.kernel(normal(60, seed=2 * seed), normal(60, seed=2 * seed + 1))["kid"].value for seed in range(12)
    ]
    values = torch.tensor(found)
    assert abs(values.mean()) < 2 * values.std() / math.sqrt(len(found))
    assert values.min() < 0 < values.max()


def test_the_more_subsets_there_are_the_less_doubt_about_the_kernel_distance():
    widths = []
    for count in (10_000, 40_000):
        low, high = formulas.kernel(normal(count, 4), normal(count, 4, seed=1))["kid"].interval
        widths.append(high - low)
    assert 0.3 < widths[1] / widths[0] < 0.75


def test_the_inception_score_of_certain_logits_is_the_number_of_classes():
    certain = 50 * torch.eye(5)[torch.arange(5000) % 5]
    found = formulas.inception(certain)["is"]
    assert found.value == pytest.approx(5, rel=0.02)
    assert formulas.inception(torch.zeros(50, 5))["is"].value == pytest.approx(1)


def test_precision_and_recall_tell_quality_from_coverage():
    """Samples of half the classes are all good, and cover half."""
    real = normal(400, 2, seed=0) + 100 * (torch.arange(400) % 8)[:, None]
    half = normal(400, 2, seed=1) + 100 * (torch.arange(400) % 4)[:, None]
    found = formulas.precision_recall(half, real)
    assert found["precision"].value > 0.9
    assert found["recall"].value == pytest.approx(0.5, abs=0.05)
    turned = formulas.precision_recall(real, half)
    assert turned["precision"].value == pytest.approx(found["recall"].value)


def test_noise_never_makes_precision_rise():
    real = normal(300)
    values = [
        formulas.precision_recall(normal(300, seed=1, scale=1 + much), real)["precision"].value
        for much in (0, 0.3, 1, 3)
    ]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.1


@pytest.mark.parametrize("name", formulas.FORMULAS)
def test_features_are_left_as_they_are(name):
    formula = formulas.FORMULAS[name]
    samples, real = normal(40), normal(40, seed=1)
    before = samples.clone(), real.clone()
    first = formula.measure(samples, real) if formula.compares else formula.measure(samples)
    again = formula.measure(samples, real) if formula.compares else formula.measure(samples)
    assert first == again
    torch.testing.assert_close((samples, real), before, rtol=0, atol=0)
