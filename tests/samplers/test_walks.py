"""What holds for every sampler: a generator that walks any grid of any schedule with any denoiser."""

from functools import partial
from itertools import combinations

import pytest
import torch

from kakusan import grids, schedules
from kakusan.closed_form import GaussianMixture
from kakusan.denoiser import Bind, Denoiser
from kakusan.parametrization import V
from kakusan.samplers import ddim, ddpm, heun
from tests.oracles import REACH, SCHEDULES, Gaussian, Recorder, last, seeded_noise, start

SAMPLERS = {
    "ddpm": ddpm,
    "ddpm, beta": partial(ddpm, variance="beta"),
    "ddim": ddim,
    "ddim, eta 0.5": partial(ddim, eta=0.5),
    "ddim, eta 1": partial(ddim, eta=1.0),
    "heun": heun,
}
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())


@every_sampler
@every_schedule
@pytest.mark.parametrize("count", [1, 5])
def test_it_yields_every_step_and_ends_in_clean_data(sampler, schedule, count):
    """At t = 0 no trace of noise is left beside the predicted x_0. Here with a batch of one."""
    oracle, times = Gaussian(schedule), grids.trailing(schedule, count)
    steps = list(sampler(oracle, start(oracle, 1, times[0]), times, noise=seeded_noise(0)))
    assert [step.index for step in steps] == list(range(count))
    assert [step.t for step in steps] == times[1:].tolist()
    assert all(step.x.shape == step.x0.shape == (1, 2) for step in steps)
    torch.testing.assert_close(steps[-1].x, steps[-1].x0, rtol=1e-12, atol=1e-12)
    assert steps[-1].x.isfinite().all()


@every_sampler
@every_schedule
def test_each_step_tells_what_was_predicted_where_it_began(sampler, schedule):
    oracle, times = Gaussian(schedule), grids.trailing(schedule, 4)
    x = start(oracle, 3, times[0])
    for step, t in zip(sampler(oracle, x, times, noise=seeded_noise(0)), times[:-1], strict=True):
        torch.testing.assert_close(step.x0, oracle(x, t).x0)
        x = step.x


@every_sampler
def test_nothing_is_computed_before_it_is_asked_for(sampler):
    """Whoever drives the generator may stop early, and pays for no more."""
    network = Recorder(lambda x, clock: x)
    walk = sampler(
        Bind(Denoiser(network, schedules.cosine(), V())),
        torch.ones(1, 2),
        grids.trailing(schedules.cosine(), 10),
        noise=seeded_noise(0),
    )
    assert len(network.calls) == 0
    next(walk)
    assert len(network.calls) <= 2


@every_sampler
def test_a_chain_of_one_step(sampler):
    oracle = Gaussian(schedules.linear(1, beta_start=0.5))
    times = grids.trailing(oracle.schedule, 1)
    x = start(oracle, 4, times[0])
    torch.testing.assert_close(last(sampler(oracle, x, times, noise=seeded_noise(0))), oracle(x, times[0]).x0)


@every_sampler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_walk_keeps_shape_and_dtype_and_its_start(sampler, dtype):
    denoise = Bind(Denoiser(Recorder(lambda x, clock: x / 2), schedules.cosine(), V()))
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = x.clone()
    sample = last(sampler(denoise, x, grids.trailing(denoise.schedule, 5), noise=seeded_noise(0)))
    assert sample.shape == x.shape
    assert sample.dtype == dtype
    assert torch.equal(x, before)


@every_sampler
@every_schedule
def test_leaps_of_any_size_stay_finite_in_float32(sampler, schedule):
    """Where σ falls by many orders of magnitude, no root of a negative rounding error is taken."""
    oracle = Gaussian(schedule)
    times = schedule.time_at(torch.linspace(-6, 30, 12))
    for leap in combinations(times, 2):
        x = start(oracle, 4, leap[0]).float()
        assert last(sampler(oracle, x, torch.stack(leap), noise=seeded_noise(0))).isfinite().all()


@every_sampler
@every_schedule
def test_steps_shorter_than_float32_can_tell_stay_finite(sampler, schedule):
    oracle, times = Gaussian(schedule), 0.5 - torch.arange(40, dtype=torch.float64) * 1e-12
    assert last(sampler(oracle, start(oracle, 4, times[0]).float(), times, noise=seeded_noise(0))).isfinite().all()


@every_sampler
def test_a_flow_starts_where_no_signal_is_left(sampler):
    """α = 0 at t = 1, log-SNR is −∞, and nothing divides by it."""
    oracle = Gaussian(schedules.RectifiedFlow())
    times = grids.trailing(oracle.schedule, 100)
    sample = last(sampler(oracle, start(oracle, 5000, times[0]), times, noise=seeded_noise(1)))
    torch.testing.assert_close(sample.mean(0), oracle.mean, rtol=0, atol=0.05)
    torch.testing.assert_close(sample.T.cov(), oracle.covariance, rtol=0, atol=0.05)


@every_sampler
@every_schedule
def test_two_modes_of_unequal_weight_are_found(sampler, schedule):
    """Their weights, places and widths, from the noise that a sampler really starts from."""
    modes = torch.tensor([[-2.0], [2.0]], dtype=torch.float64)
    oracle = GaussianMixture(modes, 0.5, torch.tensor([0.3, 0.7]), schedule)
    times = grids.uniform_log_snr(schedule, 100, start=-9.0)
    x = last(sampler(oracle, start(oracle, 5000, times[0], dimensions=1), times, noise=seeded_noise(1)))
    left, right = x[x < 0], x[x >= 0]
    assert len(left) / 5000 == pytest.approx(0.3, abs=0.04)
    for mode, place in ((left, -2), (right, 2)):
        assert mode.mean().item() == pytest.approx(place, abs=0.06)
        assert mode.std().item() == pytest.approx(0.5, abs=0.06)


@every_sampler
def test_gradients_are_off_inside_and_untouched_outside(sampler):
    """A generator that holds a ``no_grad`` block open would switch off the gradients of whoever drives it."""
    oracle, times = Gaussian(schedules.cosine()), grids.trailing(schedules.cosine(), 3)
    x = start(oracle, 1, times[0]).requires_grad_()
    for step in sampler(oracle, x, times, noise=seeded_noise(0)):
        assert torch.is_grad_enabled()
        assert not step.x.requires_grad


@pytest.mark.parametrize("sampler", [ddpm, ddim, partial(ddim, eta=0.5), partial(ddim, eta=1.0)])
def test_only_log_snr_matters(sampler):
    """On the same grid of it the same noise becomes the same sample, whatever the schedule."""
    samples = []
    for schedule in SCHEDULES.values():
        oracle, times = Gaussian(schedule), grids.uniform_log_snr(schedule, 10, **REACH)
        samples.append(last(sampler(oracle, start(oracle, 8, times[0]), times, noise=seeded_noise(1))))
    for sample in samples:
        torch.testing.assert_close(sample, samples[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("sampler", "calls"), [(ddpm, 6), (ddim, 6), (heun, 11)])
def test_a_walk_costs_as_many_network_calls_as_its_file_says(sampler, calls):
    network = Recorder(lambda x, clock: x)
    denoise = Bind(Denoiser(network, schedules.cosine(), V()))
    last(sampler(denoise, torch.ones(2, 3), grids.trailing(denoise.schedule, 6), noise=seeded_noise(0)))
    assert len(network.calls) == calls
    assert network.calls[0][1].tolist() == [999, 999]
