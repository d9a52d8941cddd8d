"""A denoiser in closed form is the posterior mean of its data, and its score the gradient of their density."""

import pytest
import torch

from kakusan import schedules
from kakusan.closed_form import GaussianMixture
from kakusan.denoiser import expand
from kakusan.errors import KakusanError
from kakusan.objective import q_sample
from tests.oracles import SCHEDULES, Gaussian

WEIGHTS = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
LINE = torch.tensor([[-2.0], [0.5], [2.0]], dtype=torch.float64)
PLANE = torch.tensor([[-2.0, 0.0], [0.5, 1.0], [2.0, -1.0]], dtype=torch.float64)
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())


def times(schedule):
    """Little noise, as much as signal, and much: equally so under every schedule."""
    return schedule.time_at(torch.tensor([4.0, 0.0, -4.0], dtype=torch.float64))


def batch(size, dimensions):
    return 2 * torch.randn(size, dimensions, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@every_schedule
def test_it_is_the_posterior_mean_as_an_integral_over_the_data_gives_it(schedule):
    mixture = GaussianMixture(LINE, 0.5, WEIGHTS, schedule)
    x0 = torch.linspace(-8, 8, 16001, dtype=torch.float64)
    prior = sum(w * torch.exp(-((x0 - m) ** 2) / (2 * 0.5**2)) for w, m in zip(WEIGHTS, LINE, strict=True))
    for t in times(schedule):
        alpha, sigma = schedule(t)
        x_t = batch(5, 1)
        weight = prior * torch.exp(-((x_t - alpha * x0) ** 2) / (2 * sigma**2))
        integral = (weight * x0).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        torch.testing.assert_close(mixture(x_t, t).x0, integral, rtol=1e-6, atol=1e-6)


@every_schedule
def test_its_score_is_the_gradient_of_its_density(schedule):
    mixture = GaussianMixture(PLANE, 0.5, WEIGHTS, schedule)
    for t in times(schedule):
        x_t = batch(6, 2).requires_grad_()
        (gradient,) = torch.autograd.grad(mixture.log_density(x_t, t).sum(), x_t)
        torch.testing.assert_close(mixture(x_t, t).score, gradient)


@every_schedule
@pytest.mark.parametrize("means", [LINE, PLANE], ids=["line", "plane"])
def test_its_density_integrates_to_one(schedule, means):
    """Sums over a grid no coarser than a deviation are integrals of Gaussians, to eight digits."""
    mixture = GaussianMixture(means, 0.5, WEIGHTS, schedule)
    dimensions = means.shape[1]
    for t in (0.0, *times(schedule).tolist()):
        t = torch.tensor(t, dtype=torch.float64)
        reach = 6 * (1 + schedule(t)[1].item()) + 4
        axis = torch.linspace(-reach, reach, 401, dtype=torch.float64)
        points = torch.cartesian_prod(*[axis] * dimensions).reshape(-1, dimensions)
        cell = (axis[1] - axis[0]) ** dimensions
        assert (mixture.log_density(points, t).exp().sum() * cell).item() == pytest.approx(1, abs=1e-6)


@every_schedule
def test_of_one_gaussian_it_is_the_gaussian_oracle(schedule):
    mixture = GaussianMixture(PLANE[:1], 0.5, WEIGHTS[:1], schedule)
    oracle = Gaussian(schedule, PLANE[0], 0.25 * torch.eye(2, dtype=torch.float64))
    for t in times(schedule):
        torch.testing.assert_close(mixture(batch(4, 2), t).x0, oracle(batch(4, 2), t).x0)


def test_every_row_may_have_a_time_of_its_own():
    mixture = GaussianMixture(PLANE, 0.5, WEIGHTS, schedules.cosine())
    x_t, each = batch(3, 2), times(schedules.cosine())
    together, density = mixture(x_t, each), mixture.log_density(x_t, each)
    for row, t in enumerate(each):
        alone = mixture(x_t[row : row + 1], t)
        torch.testing.assert_close(together.x0[row], alone.x0[0])
        torch.testing.assert_close(together.epsilon[row], alone.epsilon[0])
        torch.testing.assert_close(density[row], mixture.log_density(x_t[row : row + 1], t)[0])


@every_schedule
def test_what_it_predicts_makes_up_the_noisy_batch_in_float32_too(schedule):
    mixture = GaussianMixture(LINE, 0.5, WEIGHTS, schedule)
    x_t = batch(4, 1).float()
    prediction = mixture(x_t, times(schedule)[1])
    assert prediction.x0.dtype == torch.float32
    alpha, sigma = (expand(coefficient, x_t) for coefficient in (prediction.alpha, prediction.sigma))
    torch.testing.assert_close(alpha * prediction.x0 + sigma * prediction.epsilon, x_t)


def test_samples_have_the_shares_places_and_width_of_the_mixture():
    mixture = GaussianMixture(PLANE, 0.1, WEIGHTS, schedules.cosine())
    points = mixture.sample(20_000, torch.Generator().manual_seed(0))
    nearest = torch.cdist(points, PLANE).argmin(1)
    for k, (mean, weight) in enumerate(zip(PLANE, WEIGHTS, strict=True)):
        mine = points[nearest == k]
        assert len(mine) / 20_000 == pytest.approx(weight.item() / 3.5, abs=0.015)
        torch.testing.assert_close(mine.mean(0), mean, rtol=0, atol=0.01)
        torch.testing.assert_close(mine.std(0), torch.full_like(mean, 0.1), rtol=0, atol=0.005)
    assert torch.equal(points, mixture.sample(20_000, torch.Generator().manual_seed(0)))


def test_its_density_is_that_of_the_noised_samples():
    """The mean of ln p over samples of x_t beats that of any other time, by Gibbs' inequality."""
    schedule = schedules.cosine()
    mixture = GaussianMixture(LINE, 0.5, WEIGHTS, schedule)
    generator, t = torch.Generator().manual_seed(0), times(schedule)[1]
    x0 = mixture.sample(20_000, generator)
    x_t = q_sample(schedule, x0, t, torch.randn(x0.shape, generator=generator, dtype=x0.dtype))
    means = [mixture.log_density(x_t, t + shift).mean() for shift in (-0.1, 0.0, 0.1)]
    assert max(means) == means[1]


@pytest.mark.parametrize(
    ("means", "deviation", "weights", "sentence"),
    [
        (torch.zeros(2), 0.5, torch.ones(2), r"means of shape \(K, D\).* not \(2,\) and \(2,\)"),
        (torch.zeros(2, 1), 0.5, torch.ones(3), r"not \(2, 1\) and \(3,\)"),
        (torch.zeros(0, 1), 0.5, torch.ones(0), r"not \(0, 1\) and \(0,\)"),
        (torch.zeros(2, 1), 0.0, torch.ones(2), "every deviation of a mixture must be positive, not 0"),
        (torch.zeros(2, 1), 0.5, torch.tensor([1.0, -1.0]), "every weight of a mixture must be positive, not -1"),
    ],
)
def test_what_is_no_mixture_is_refused(means, deviation, weights, sentence):
    with pytest.raises(KakusanError, match=sentence):
        GaussianMixture(means, deviation, weights, schedules.cosine())


@every_schedule
def test_noise_is_exact_near_data(schedule):
    """As a difference of nearly equal numbers it would be all rounding."""
    mixture = GaussianMixture(LINE, 0.5, WEIGHTS, schedule)
    t = torch.tensor(1e-6, dtype=torch.float64)
    exact, rounded = mixture(batch(4, 1), t).epsilon, mixture(batch(4, 1).float(), t).epsilon
    assert exact.abs().max() > 0
    torch.testing.assert_close(rounded.double(), exact, rtol=1e-4, atol=0)
