"""Heun's method follows the probability flow with order two, and is its paper's algorithm."""

import pytest
import torch

from kakusan import grids
from kakusan.samplers import ddim, heun
from tests.oracles import REACH, SCHEDULES, Gaussian, last, moments, no_noise, start


@pytest.fixture(params=SCHEDULES.values(), ids=SCHEDULES.keys())
def oracle(request):
    return Gaussian(request.param)


@pytest.mark.parametrize("towards", ["data", "noise"])
def test_it_converges_with_order_two(oracle, towards):
    """Twice the steps, a quarter of the distance from the exact probability flow."""
    errors = []
    for steps in (40, 80, 160, 320):
        times = grids.uniform_log_snr(oracle.schedule, steps, **REACH, to_zero=False)
        times = times if towards == "data" else times.flip(0)
        x = start(oracle, 64, times[0])
        sample = last(heun(oracle, x, times, noise=no_noise))
        errors.append((sample - oracle.flow(x, times[0], times[-1])).abs().max())
    orders = -torch.stack(errors).log2().diff()
    assert orders.mean().item() == pytest.approx(2, abs=0.15)
    assert orders[-1].item() == pytest.approx(2, abs=0.1)


def test_algorithm_one_of_its_paper():
    """In σ, as Karras et al. write it for α = 1: d is the slope (x − D)/σ, and the last step is Euler's."""
    oracle = Gaussian(SCHEDULES["edm"])
    times = grids.karras(oracle.schedule, 6)
    sigma = oracle.schedule(times)[1]
    x = start(oracle, 8, times[0])
    sample = last(heun(oracle, x, times))
    for i in range(6):
        slope = (x - oracle(x, times[i]).x0) / sigma[i]
        euler = x + (sigma[i + 1] - sigma[i]) * slope
        if i < 5:
            slope = (slope + (euler - oracle(euler, times[i + 1]).x0) / sigma[i + 1]) / 2
        x = x + (sigma[i + 1] - sigma[i]) * slope
    torch.testing.assert_close(sample, x)


def test_on_a_flow_it_averages_two_velocities():
    """dx/dt = ε − x_0, integrated by the textbook's formula."""
    oracle, times = Gaussian(SCHEDULES["flow"]), torch.tensor([1.0, 0.6, 0.3], dtype=torch.float64)

    def velocity(x, t):
        prediction = oracle(x, t)
        return prediction.epsilon - prediction.x0

    x = start(oracle, 8, times[0])
    sample = last(heun(oracle, x, times))
    for t, s in ((times[0], times[1]), (times[1], times[2])):
        first = velocity(x, t)
        x = x + (s - t) / 2 * (first + velocity(x + (s - t) * first, s))
    torch.testing.assert_close(sample, x)


def test_its_last_step_to_clean_data_is_ddims(oracle):
    times = torch.tensor([0.3, 0.0], dtype=torch.float64)
    x = start(oracle, 8, times[0])
    torch.testing.assert_close(last(heun(oracle, x, times)), last(ddim(oracle, x, times, noise=no_noise)))


def test_mean_and_covariance_of_the_data_come_out(oracle):
    """In a tenth of the steps that DDIM takes."""
    mean, covariance = moments(heun, oracle, grids.uniform_log_snr(oracle.schedule, 40, **REACH))
    torch.testing.assert_close(mean, oracle.mean, rtol=0, atol=5e-3)
    torch.testing.assert_close(covariance, oracle.covariance, rtol=0, atol=2e-2)
