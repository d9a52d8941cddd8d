"""DDIM follows the probability flow with order one, and with η takes a share of DDPM's noise."""

import pytest
import torch

from kakusan import grids
from kakusan.samplers import ddim
from tests.oracles import REACH, SCHEDULES, Gaussian, last, moments, no_noise, seeded_noise, start


@pytest.fixture(params=SCHEDULES.values(), ids=SCHEDULES.keys())
def oracle(request):
    return Gaussian(request.param)


@pytest.mark.parametrize("towards", ["data", "noise"])
def test_it_converges_with_order_one(oracle, towards):
    """Twice the steps, half the distance from the exact probability flow."""
    errors = []
    for steps in (20, 40, 80, 160):
        times = grids.uniform_log_snr(oracle.schedule, steps, **REACH, to_zero=False)
        times = times if towards == "data" else times.flip(0)
        x = start(oracle, 64, times[0])
        sample = last(ddim(oracle, x, times, noise=no_noise))
        errors.append((sample - oracle.flow(x, times[0], times[-1])).abs().max())
    orders = -torch.stack(errors).log2().diff()
    assert orders.mean().item() == pytest.approx(1, abs=0.1)
    assert orders[-1].item() == pytest.approx(1, abs=0.1)


def test_the_way_to_noise_may_end_where_no_signal_is_left(oracle):
    """From nearly clean data up to t = 1 and back again gives the data back."""
    x = oracle.mean + torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 2
    times = grids.uniform_log_snr(oracle.schedule, 500, start=-12.0, end=8.0, to_zero=False).flip(0)
    times[-1] = 1.0
    noise = last(ddim(oracle, x, times, noise=no_noise))
    assert noise.isfinite().all()
    torch.testing.assert_close(last(ddim(oracle, noise, times.flip(0), noise=no_noise)), x, rtol=0.03, atol=0.03)


def test_equation_sixteen_with_its_betas():
    """On a chain, index to index and as Song et al. write it, with their ᾱ, σ and three terms of equation (12)."""
    oracle = Gaussian(SCHEDULES["linear"])
    i, j, eta = 700, 300, 0.6
    bar_i, bar_j = oracle.schedule.alphas_cumprod[[i, j]]
    deviation = eta * ((1 - bar_j) / (1 - bar_i)).sqrt() * (1 - bar_i / bar_j).sqrt()

    times = oracle.schedule.index_to_time(torch.tensor([i, j]))
    x = start(oracle, 8, times[0])
    epsilon = oracle(x, times[0]).epsilon
    expected = bar_j.sqrt() * (x - (1 - bar_i).sqrt() * epsilon) / bar_i.sqrt()
    expected = expected + (1 - bar_j - deviation**2).sqrt() * epsilon + deviation * seeded_noise(2)(x)
    torch.testing.assert_close(last(ddim(oracle, x, times, eta=eta, noise=seeded_noise(2))), expected)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_eta_is_the_share_of_the_noise_and_leaves_the_marginal_alone(oracle, eta):
    """What is drawn is η times the posterior's deviation; with what is kept, the variance is always σ_s²."""
    times = torch.tensor([0.8, 0.5], dtype=torch.float64)
    x = start(oracle, 8, times[0])
    centre = last(ddim(oracle, x, times, eta=eta, noise=torch.zeros_like))
    drawn = last(ddim(oracle, x, times, eta=eta, noise=torch.ones_like)) - centre

    prediction, (alpha, sigma) = oracle(x, times[0]), oracle.schedule(times)
    kept = (centre - alpha[1] * prediction.x0) / prediction.epsilon
    posterior = (sigma[0] ** 2 - (alpha[0] / alpha[1] * sigma[1]) ** 2) * sigma[1] ** 2 / sigma[0] ** 2
    torch.testing.assert_close(drawn**2, (eta**2 * posterior).expand(8, 2))
    torch.testing.assert_close(kept**2 + drawn**2, (sigma[1] ** 2).expand(8, 2))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_mean_and_covariance_of_the_data_come_out(oracle, eta):
    """Whatever the share of noise; with correlated coordinates, and exactly but for the length of the steps."""
    mean, covariance = moments(ddim, oracle, grids.uniform_log_snr(oracle.schedule, 400, **REACH), eta=eta)
    torch.testing.assert_close(mean, oracle.mean, rtol=0, atol=5e-3)
    torch.testing.assert_close(covariance, oracle.covariance, rtol=0, atol=2e-2)


@pytest.mark.parametrize("eta", [-0.1, 1.5, float("nan")])
def test_an_eta_outside_its_range_is_refused(oracle, eta):
    with pytest.raises(ValueError, match=rf"eta must lie in \[0, 1\], not {eta}$"):
        next(ddim(oracle, torch.zeros(1, 2), torch.tensor([1.0, 0.0]), eta=eta, noise=no_noise))


def test_a_stochastic_walk_back_to_noise_is_refused(oracle):
    with pytest.raises(ValueError, match=r"times must decrease while eta is 0\.5: only eta=0 walks back to noise$"):
        next(ddim(oracle, torch.zeros(1, 2), torch.tensor([0.5, 0.2, 1.0]), eta=0.5, noise=no_noise))
