"""DDPM's reverse step is the posterior of the forward process, and its walk gives the data back."""

import pytest
import torch

from kakusan import grids
from kakusan.denoiser import Prediction
from kakusan.objective import q_sample, q_step
from kakusan.samplers import ddim, ddpm
from tests.oracles import CHAINS, REACH, SCHEDULES, Gaussian, last, moments, no_noise, seeded_noise, start

every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())


@pytest.fixture(params=SCHEDULES.values(), ids=SCHEDULES.keys())
def oracle(request):
    return Gaussian(request.param)


def spread(oracle, times, variance):
    """Returns the variance of the noise that one step draws, shape (B, D)."""
    x = start(oracle, 2, times[0])
    walks = [
        last(ddpm(oracle, x, times, variance=variance, noise=noise)) for noise in (torch.zeros_like, torch.ones_like)
    ]
    return (walks[1] - walks[0]) ** 2


@every_chain
@pytest.mark.parametrize("index", [1, 2, 500, 998, 999])
def test_a_step_between_neighbours_is_equation_seven(chain, index):
    """Mean and variance of q(x_{i−1} | x_i, x_0) as Ho et al. write them, with their β and ᾱ."""
    oracle = Gaussian(chain)
    beta, bar, bar_before = chain.betas[index], chain.alphas_cumprod[index], chain.alphas_cumprod[index - 1]
    times = chain.index_to_time(torch.tensor([index, index - 1]))
    x = start(oracle, 8, times[0])
    mean = bar_before.sqrt() * beta / (1 - bar) * oracle(x, times[0]).x0
    mean = mean + (1 - beta).sqrt() * (1 - bar_before) / (1 - bar) * x
    posterior = (1 - bar_before) / (1 - bar) * beta
    sample = last(ddpm(oracle, x, times, noise=seeded_noise(2)))
    torch.testing.assert_close(sample, mean + posterior.sqrt() * seeded_noise(2)(x), rtol=1e-9, atol=1e-9)


@every_chain
def test_the_larger_variance_between_neighbours_is_beta(chain):
    for index in (1, 2, 500, 999):
        times = chain.index_to_time(torch.tensor([index, index - 1]))
        drawn = spread(Gaussian(chain), times, "beta")
        torch.testing.assert_close(drawn, chain.betas[index].expand(2, 2), rtol=1e-8, atol=0)


def test_a_step_of_any_length_follows_bayes_rule(oracle):
    """q(x_s | x_t, x_0) from the forward process alone: precisions add, and so do means weighted by them."""
    pairs = torch.rand(10, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, nought = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for times in pairs.sort(descending=True).values:
        t, s = times
        alpha_s, sigma_s = (
            q_sample(oracle.schedule, *pair[:1], s, *pair[1:]) for pair in ((one, nought), (nought, one))
        )
        kept, added = q_step(oracle.schedule, one, s, t, nought), q_step(oracle.schedule, nought, s, t, one)
        precision = 1 / sigma_s**2 + kept**2 / added**2

        x = start(oracle, 8, t)
        mean = (alpha_s / sigma_s**2 * oracle(x, t).x0 + kept / added**2 * x) / precision
        expected = mean + precision.rsqrt() * seeded_noise(2)(x)
        torch.testing.assert_close(last(ddpm(oracle, x, times, noise=seeded_noise(2))), expected, rtol=1e-7, atol=1e-7)


def test_the_smaller_variance_is_the_larger_times_the_ratio_of_noises(oracle):
    """β̃ = β·σ_s²/σ_t², under every schedule and from any t to any s."""
    times = torch.tensor([0.9, 0.4], dtype=torch.float64)
    sigma_t, sigma_s = oracle.schedule(times)[1]
    ratio = spread(oracle, times, "posterior") / spread(oracle, times, "beta")
    torch.testing.assert_close(ratio, ((sigma_s / sigma_t) ** 2).expand(2, 2))


def test_ddim_with_all_its_noise_is_ddpm(oracle):
    times = grids.uniform_log_snr(oracle.schedule, 10, **REACH)
    x = start(oracle, 8, times[0])
    walks = [ddpm(oracle, x, times, noise=seeded_noise(1)), ddim(oracle, x, times, eta=1.0, noise=seeded_noise(1))]
    for one, other in zip(*walks, strict=True):
        torch.testing.assert_close(one.x, other.x)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_mean_and_covariance_of_the_data_come_out(oracle, variance):
    """Correlated coordinates, no randomness in the measurement; the error shrinks as the steps do."""
    errors = []
    for steps in (200, 400):
        mean, covariance = moments(
            ddpm, oracle, grids.uniform_log_snr(oracle.schedule, steps, **REACH, to_zero=False), variance=variance
        )
        expected = oracle.marginal(oracle.schedule.time_at(torch.tensor(REACH["end"], dtype=torch.float64)))
        torch.testing.assert_close(mean, expected[0], rtol=0, atol=2e-3)
        errors.append((covariance - expected[1]).abs().max())
    assert errors[0] < 2e-2
    assert (errors[0] / errors[1]).item() == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_posterior_is_right_for_a_single_image_in_any_number_of_steps(oracle, steps):
    """Data without spread: one giant step lands on the exact marginal."""
    point = Gaussian(oracle.schedule, covariance=torch.zeros(2, 2, dtype=torch.float64))
    times = torch.linspace(0.9, 0.3, steps + 1, dtype=torch.float64)
    mean, covariance = moments(ddpm, point, times, variance="posterior")
    expected = point.marginal(times[-1])
    torch.testing.assert_close(mean, expected[0])
    torch.testing.assert_close(covariance, expected[1])


@every_chain
@pytest.mark.parametrize("steps", [1, 3])
def test_beta_is_right_for_white_noise_in_any_number_of_steps(chain, steps):
    """Data of unit variance, which a chain leaves as they are."""
    white = Gaussian(chain, covariance=torch.eye(2, dtype=torch.float64))
    times = torch.linspace(0.9, 0.3, steps + 1, dtype=torch.float64)
    mean, covariance = moments(ddpm, white, times, variance="beta")
    torch.testing.assert_close(mean, white.marginal(times[-1])[0])
    torch.testing.assert_close(covariance, torch.eye(2, dtype=torch.float64))


@every_chain
def test_the_whole_chain_is_walked(chain):
    """A thousand steps from σ(1)·z, as published."""
    oracle = Gaussian(chain)
    x = last(
        ddpm(oracle, start(oracle, 5_000, torch.ones(()).double()), grids.leading(chain, 1000), noise=seeded_noise(1))
    )
    torch.testing.assert_close(x.mean(0), oracle.mean, rtol=0, atol=0.03)
    torch.testing.assert_close(x.T.cov(), oracle.covariance, rtol=0, atol=0.03)


def test_a_prediction_that_does_not_fit_x_t_is_followed_in_both_parts():
    """Guidance may hand over an x_0 and an ε that do not make up x_t; the mean is α_s·x_0 plus what is kept of ε."""
    schedule, times = SCHEDULES["cosine"], torch.tensor([0.8, 0.5], dtype=torch.float64)
    x0, epsilon = torch.ones(1, 2, dtype=torch.float64), torch.full((1, 2), 3.0, dtype=torch.float64)

    class Fixed:
        def __init__(self):
            self.schedule = schedule

        def __call__(self, x_t, t):
            return Prediction(x_t, x0, *schedule(t), epsilon=epsilon)

    (alpha_t, alpha_s), (sigma_t, sigma_s) = schedule(times)
    expected = alpha_s * x0 + alpha_t / alpha_s * sigma_s**2 / sigma_t * epsilon
    torch.testing.assert_close(last(ddpm(Fixed(), x0, times, noise=torch.zeros_like)), expected)


def test_no_noise_is_added_in_a_step_to_clean_data(oracle):
    last(ddpm(oracle, torch.ones(1, 2).double(), torch.tensor([0.5, 0.0]).double(), variance="beta", noise=no_noise))


def test_another_variance_is_refused(oracle):
    with pytest.raises(ValueError, match=r"unknown variance 'betas': did you mean 'beta'\? known are beta, posterior$"):
        next(ddpm(oracle, torch.zeros(1, 2), torch.tensor([1.0, 0.0]), variance="betas", noise=no_noise))


@pytest.mark.parametrize("times", [[0.2, 0.5], [0.9, 0.5, 0.5, 0.0]])
def test_a_walk_that_does_not_fall_is_refused(oracle, times):
    with pytest.raises(ValueError, match="times must decrease"):
        next(ddpm(oracle, torch.zeros(1, 2), torch.tensor(times), noise=no_noise))
