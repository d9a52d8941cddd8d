"""The forward process, the times that training visits, and the loss."""

from itertools import pairwise

import pytest
import torch

from kakusan import schedules
from kakusan.condition import Condition
from kakusan.denoiser import Denoiser
from kakusan.objective import TimeSampling, denoising_loss, q_sample, q_step
from kakusan.parametrization import V
from tests.oracles import CHAINS, SCHEDULES, Gaussian, Recorder
from tests.test_parametrization import PAIRS, PARAMETRIZATIONS

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
ONE, NOUGHT = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)


def close(actual, expected, tolerance=1e-10):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def time(value):
    return torch.tensor(value, dtype=torch.float64)


@every_schedule
def test_a_draw_at_once_is_signal_and_noise(schedule):
    for t in (NOUGHT, time([0.4]), ONE):
        alpha, sigma = schedule(t)
        assert q_sample(schedule, ONE, t, NOUGHT) == alpha
        assert q_sample(schedule, NOUGHT, t, ONE) == sigma


@every_schedule
@pytest.mark.parametrize("times", [(0.0, 0.3, 0.35, 1.0), (0.2, 0.2, 0.7, 0.999)])
def test_steps_make_up_the_draw_at_once(schedule, times):
    """From q(x_s | x_0) step by step to q(x_t | x_0): the means multiply and the variances add."""
    times = time(times)
    signal = q_sample(schedule, ONE, times[0], NOUGHT)
    variance = q_sample(schedule, NOUGHT, times[0], ONE) ** 2
    for s, t in pairwise(times):
        kept = q_step(schedule, ONE, s, t, NOUGHT)
        variance = kept**2 * variance + q_step(schedule, NOUGHT, s, t, ONE) ** 2
        signal = kept * signal
    alpha, sigma = schedule(times[-1:])
    close(signal, alpha)
    close(variance, sigma**2)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_between_neighbours_of_a_chain_a_step_is_equation_two(chain):
    """x_i = √(1 − β)·x_{i−1} + √β·ε, at every index, and the first comes from clean data."""
    times = torch.cat([NOUGHT, chain.index_to_time(torch.arange(1000))])
    s, t = times[:-1], times[1:]
    nought, one = NOUGHT.expand(1000), ONE.expand(1000)
    close(q_step(chain, one, s, t, nought), (1 - chain.betas).sqrt())
    close(q_step(chain, nought, s, t, one), chain.betas.sqrt(), tolerance=1e-9)


@every_schedule
@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_a_step_of_no_length_changes_nothing(schedule, t):
    """Also at both ends of time, where log-SNR is infinite."""
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(q_step(schedule, x, time(t), time(t), torch.ones_like(x)), x)
    assert torch.equal(q_step(schedule, x, time([t]), time([t]), torch.ones_like(x)), x)


@every_schedule
def test_steps_and_draws_of_pictures_have_a_time_an_image(schedule):
    """Both shape their coefficients to the batch; here each image is held against itself alone."""
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 3, 2, 4, 4, generator=generator)
    s, t = time([0.1, 0.0, 0.5]), time([0.2, 1.0, 0.5])
    together = q_sample(schedule, x, t, noise), q_step(schedule, x, s, t, noise)
    for i in range(3):
        close(together[0][i], q_sample(schedule, x[i], t[i], noise[i]), tolerance=1e-6)
        close(together[1][i], q_step(schedule, x[i], s[i], t[i], noise[i]), tolerance=1e-6)
    assert together[0].dtype == together[1].dtype == torch.float32


def test_a_step_back_is_refused():
    with pytest.raises(ValueError, match=r"from an earlier time to a later one, not from 0\.5 to 0\.25$"):
        q_step(CHAINS["linear"], ONE, time([0.5]), time([0.25]), NOUGHT)


@pytest.mark.parametrize("stratified", [False, True])
def test_draws_are_uniform_and_repeat_with_the_seed(stratified):
    sampling = TimeSampling(stratified=stratified)
    draws = sampling.quantiles(20_000, torch.Generator().manual_seed(0))
    assert draws.dtype == torch.float64
    assert draws.min() >= 0
    assert draws.max() < 1
    close(draws.sort().values, torch.linspace(0, 1, 20_000, dtype=torch.float64), tolerance=0.02)
    assert torch.equal(draws, sampling.quantiles(20_000, torch.Generator().manual_seed(0)))
    assert torch.corrcoef(torch.stack([draws[:-1], draws[1:]]))[0, 1].abs() < 0.05, "neighbours depend on each other"


@pytest.mark.parametrize("count", [1, 2, 7, 128])
def test_stratified_draws_fall_one_into_each_part(count):
    draws = TimeSampling(stratified=True).quantiles(count, torch.Generator().manual_seed(0))
    assert torch.equal((draws * count).floor().sort().values, torch.arange(count, dtype=torch.float64))
    assert count < 7 or not torch.equal(draws, draws.sort().values), "their order is no draw"


def test_where_a_draw_falls_within_its_part_is_random():
    """Midpoints would never show a network the times between."""
    draws = TimeSampling(stratified=True).quantiles(1000, torch.Generator().manual_seed(0)) * 1000 % 1
    assert draws.mean().item() == pytest.approx(0.5, abs=0.05)
    assert draws.std().item() == pytest.approx(12**-0.5, abs=0.02)


@every_schedule
def test_uniform_times_are_the_schedules_own(schedule):
    quantiles = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(TimeSampling()(schedule, quantiles), schedule.training_time(quantiles))


@every_schedule
@pytest.mark.parametrize(("mean", "deviation"), [(-1.2, 1.2), (0.0, 0.5)])
def test_lognormal_times_have_the_mean_and_deviation_asked_for(schedule, mean, deviation):
    """ln(σ/α) at evenly spaced quantiles, which stand for the whole distribution; its median is the mean."""
    quantiles = (torch.arange(10_001, dtype=torch.float64) + 0.5) / 10_001
    log_ratio = -schedule.log_snr(TimeSampling(lognormal=(mean, deviation))(schedule, quantiles)) / 2
    assert log_ratio.mean().item() == pytest.approx(mean, abs=1e-2)
    assert log_ratio.std().item() == pytest.approx(deviation, abs=1e-2)
    assert log_ratio.median().item() == pytest.approx(mean, abs=1e-9)
    one_deviation = (log_ratio - mean).abs() < deviation
    assert one_deviation.double().mean().item() == pytest.approx(0.6827, abs=1e-3)


@every_schedule
def test_lognormal_times_are_never_clean_nor_infinite(schedule):
    times = TimeSampling(lognormal=(-1.2, 1.2))(schedule, time([0.0, 1 - 2**-53]))
    assert (times > 0).all()
    assert (times <= 1).all()


@pytest.mark.parametrize(("schedule", "name"), PAIRS)
def test_a_network_that_knows_the_answer_has_no_loss(schedule, name):
    """The network returns what the parametrization asks for, read off x_0 and ε, and is shown c_in·x_t."""
    schedule, parametrization = SCHEDULES[schedule], PARAMETRIZATIONS[name]
    x0, epsilon = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.linspace(0.1, 1, 5, dtype=torch.float64)
    alpha, sigma = (coefficient[:, None] for coefficient in schedule(t))
    target = parametrization.target(x0, epsilon, alpha, sigma)
    network = Recorder(lambda *_: target)
    loss = denoising_loss(Denoiser(network, schedule, parametrization), x0, t, epsilon)
    assert torch.equal(loss, torch.zeros(5, dtype=torch.float64))
    close(network.calls[0][0], parametrization.c_in(alpha, sigma) * q_sample(schedule, x0, t, epsilon))


def test_the_loss_of_an_image_is_the_mean_square_of_its_error():
    x0 = torch.zeros(3, 2, 4, 4)
    error = torch.tensor([0.0, 1.0, 3.0])[:, None, None, None]
    denoiser = Denoiser(Recorder(lambda x, clock: error.expand_as(x)), CHAINS["cosine"], V())
    loss = denoising_loss(denoiser, x0, time([0.1, 0.5, 1.0]), torch.zeros_like(x0))
    assert loss.tolist() == [0.0, 1.0, 9.0]


def test_the_condition_is_handed_on():
    network = Recorder(lambda x, clock, condition: x)
    condition = Condition(torch.tensor([4]))
    denoising_loss(
        Denoiser(network, CHAINS["cosine"], V()), torch.zeros(1, 2), time([0.5]), torch.zeros(1, 2), condition
    )
    assert network.calls[0][2] is condition


def test_the_least_loss_belongs_to_the_posterior_mean():
    """No network beats E[x_0 | x_t]: moving away from it in any direction makes the mean loss larger."""
    oracle = Gaussian(schedules.cosine())
    generator = torch.Generator().manual_seed(0)
    x0, epsilon = torch.randn(2, 20_000, 2, generator=generator, dtype=torch.float64)
    x0 = oracle.mean + x0 @ torch.linalg.cholesky(oracle.covariance).T
    t = time(0.5)
    alpha, sigma = oracle.schedule(t)

    def loss(gain, shift):
        def function(x, clock):
            x0_hat = gain * oracle(x, t).x0 + shift
            return V().target(x0_hat, (x - alpha * x0_hat) / sigma, alpha, sigma)

        return denoising_loss(Denoiser(Recorder(function), oracle.schedule, V()), x0, t, epsilon).mean()

    assert all(loss(1.0, 0.0) < loss(gain, shift) for gain, shift in [(1.1, 0), (0.9, 0), (1, 0.1), (1, -0.1)])


@pytest.mark.parametrize("schedule", [*CHAINS.values()], ids=[*CHAINS])
def test_lognormal_times_never_come_nearer_to_data_than_a_chain_does(schedule):
    times = TimeSampling(lognormal=(-8.0, 1.2))(schedule, torch.rand(100, dtype=torch.float64))
    assert times.min() >= schedule.earliest
