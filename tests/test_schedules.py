"""Laws of every noise schedule, and the known values of the classical ones."""

import math
import pickle
import re

import numpy as np
import pytest
import torch

from kakusan import config, schedules
from tests.oracles import CHAINS, SCHEDULES

ALL = {**SCHEDULES, "short": schedules.cosine(7), "single": schedules.linear(1)}
every_schedule = pytest.mark.parametrize("schedule", ALL.values(), ids=ALL.keys())
every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
lengths = pytest.mark.parametrize("length", [1, 2, 7, 49, 1000])

TIMES = torch.linspace(0, 1, 3001, dtype=torch.float64)
INSIDE = TIMES[1:-1]
ONE = TIMES[-1]


def assert_exact(actual, expected, tolerance=1e-12):
    """Equal to within the rounding of float64."""
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=tolerance, atol=tolerance)


@every_schedule
def test_time_and_log_snr_are_each_others_inverse(schedule):
    assert_exact(schedule.time_at(schedule.log_snr(TIMES)), TIMES)  # with the ends, where log-SNR is infinite
    log_snr = schedule.log_snr(INSIDE)
    assert_exact(schedule.log_snr(schedule.time_at(log_snr)), log_snr, tolerance=1e-11)


@every_schedule
def test_beyond_its_reach_a_schedule_answers_with_its_nearest_end(schedule):
    beyond = torch.tensor([-torch.inf, -500.0, torch.inf], dtype=torch.float64)
    assert_exact(schedule.time_at(beyond), [1.0, 1.0, 0.0])
    assert ((schedule.time_at(beyond) >= 0) & (schedule.time_at(beyond) <= 1)).all()


@every_schedule
def test_log_snr_is_the_logarithm_of_the_ratio_of_powers_and_falls(schedule):
    alpha, sigma = schedule(INSIDE)
    assert_exact(schedule.log_snr(INSIDE).exp(), alpha**2 / sigma**2, tolerance=1e-11)
    assert (schedule.log_snr(TIMES).diff() < 0).all()


@every_schedule
def test_signal_never_grows_and_noise_always_does(schedule):
    alpha, sigma = schedule(TIMES)
    assert (alpha.diff() <= 0).all()
    assert (sigma.diff() > 0).all()


@every_schedule
def test_time_zero_is_clean_data(schedule):
    assert schedule(TIMES[0]) == (1, 0)
    assert schedule.log_snr(TIMES[0]) == torch.inf


def test_the_noisy_end_of_continuous_schedules():
    assert schedules.EDM()(ONE) == (1, 80)
    assert schedules.EDM(sigma_max=3.0)(ONE) == (1, 3)
    assert schedules.RectifiedFlow()(ONE) == (0, 1)
    assert schedules.RectifiedFlow().log_snr(ONE) == -torch.inf


def test_even_times_of_edm_are_the_papers_noise_levels():
    """Equation (5) of Karras et al. with ρ = 7 and σ_min = 0."""
    steps = torch.arange(18, dtype=torch.float64) / 17
    sigma = (80 ** (1 / 7) + steps * (0 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert_exact(schedules.EDM()(1 - steps)[1], sigma)


def test_rectified_flow_is_a_straight_line():
    assert_exact(torch.stack(schedules.RectifiedFlow()(TIMES)), torch.stack([1 - TIMES, TIMES]))


@every_chain
def test_chains_preserve_variance(chain):
    alpha, sigma = chain(TIMES)
    assert_exact(alpha**2 + sigma**2, torch.ones_like(TIMES), tolerance=1e-15)


@every_chain
def test_a_chain_passes_through_its_knots(chain):
    """Index i stands at t = (i + 1)/T, and ᾱ there is the product of all 1 − β up to it."""
    alpha, _ = chain(chain.index_to_time(torch.arange(chain.steps)))
    product = 1.0
    for index, beta in enumerate(chain.betas.tolist()):
        product *= 1 - beta
        assert alpha[index].item() ** 2 == pytest.approx(product, rel=1e-10)
    assert_exact(alpha**2, chain.alphas_cumprod)


@every_chain
def test_between_knots_the_logarithm_of_the_signal_is_linear(chain):
    """Also in the first interval, which begins at clean data."""
    log_signal = chain(torch.arange(2 * chain.steps + 1, dtype=torch.float64) / (2 * chain.steps))[0].log()
    assert_exact(log_signal[1::2], (log_signal[:-1:2] + log_signal[2::2]) / 2)


@every_chain
def test_tables_are_float64_on_the_cpu(chain):
    for table in (chain.betas, chain.alphas_cumprod, schedules.Chain(torch.full((3,), 0.1).half()).betas):
        assert table.dtype == torch.float64
        assert table.device.type == "cpu"
    assert chain.betas.shape == chain.alphas_cumprod.shape == (chain.steps,) == (1000,)


def test_a_chain_keeps_no_gradient():
    assert not schedules.Chain(torch.full((3,), 0.1, requires_grad=True)).betas.requires_grad


@pytest.mark.parametrize(
    ("chain", "index", "signal"),
    [
        (CHAINS["linear"], 0, 0.9999),
        (CHAINS["linear"], 100, 0.895),
        (CHAINS["linear"], 300, 0.394),
        (CHAINS["linear"], 500, 0.0778),
        (CHAINS["linear"], 700, 0.00687),
        (CHAINS["linear"], 999, 4.036e-5),
        (CHAINS["cosine"], 999, 2.43e-9),
        (CHAINS["quadratic"], 999, 7.33e-4),
        (schedules.linear(50), 49, 0.603),
        (schedules.linear(50, beta_start=0.002, beta_end=0.4), 49, 7.745e-6),
    ],
)
def test_known_signal(chain, index, signal):
    assert chain.alphas_cumprod[index].item() == pytest.approx(signal, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "first", "last"), [("linear", 1e-4, 0.02), ("quadratic", 1e-4, 0.02), ("cosine", 4.128e-5, 0.999)]
)
def test_known_betas(name, first, last):
    assert CHAINS[name].betas[0].item() == pytest.approx(first, rel=1e-3)
    assert CHAINS[name].betas[-1].item() == pytest.approx(last, rel=1e-12)
    assert (CHAINS[name].betas.diff() > 0).all()


def test_the_linear_and_the_quadratic_chain_are_even_in_beta_and_in_its_root():
    for even in (CHAINS["linear"].betas, CHAINS["quadratic"].betas.sqrt()):
        assert_exact(even.diff(), ((even[-1] - even[0]) / 999).expand(999))


@pytest.mark.parametrize("s", [0.0, 0.008, 0.1, 1.0])
def test_the_cosine_chain_is_a_squared_cosine_until_its_cap(s):
    chain = schedules.cosine(100, s=s)
    f = [math.cos(math.pi / 2 * (i / 100 + s) / (1 + s)) ** 2 for i in range(101)]
    assert_exact(chain.alphas_cumprod[:-1], torch.tensor(f[1:-1], dtype=torch.float64) / f[0])
    assert chain.alphas_cumprod[-1].item() == pytest.approx(chain.alphas_cumprod[-2].item() * 0.001)


@lengths
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_index_survives_the_journey_to_time_and_back(length, dtype):
    chain, index = schedules.linear(length), torch.arange(length)
    times = chain.index_to_time(index)
    assert times.dtype == torch.float64
    assert times[-1] == 1
    assert torch.equal(chain.time_to_index(times.to(dtype)), index)
    assert chain.time_to_index(torch.zeros((), dtype=dtype)) == -1


@lengths
def test_a_network_is_told_the_index(length):
    """To within the rounding of float64, so in float32 a table of embeddings can be looked up with it."""
    chain, index = schedules.cosine(length), torch.arange(length)
    clock = chain.clock(chain.index_to_time(index))
    assert_exact(clock, index)
    assert torch.equal(clock.float().long(), index)
    assert chain.clock(torch.zeros(())) == -1


def test_clocks_of_continuous_schedules():
    times = torch.tensor([0.25, 1.0], dtype=torch.float64)
    assert_exact(schedules.RectifiedFlow().clock(times), [250.0, 1000.0])
    assert_exact(schedules.EDM().clock(times), (80 * times**7).log() / 4)
    assert schedules.EDM().clock(ONE).item() == pytest.approx(1.0955, abs=1e-4)


@lengths
def test_training_visits_every_step_of_a_chain_equally_often_and_nothing_else(length):
    chain = schedules.linear(length)
    quantiles = (torch.arange(5 * length, dtype=torch.float64) + 0.5) / (5 * length)
    times = chain.training_time(quantiles)
    assert torch.equal(chain.time_to_index(times).bincount(minlength=length), torch.full((length,), 5))
    assert_exact(times * length, (times * length).round())


@every_schedule
def test_training_never_sees_clean_data_and_does_see_the_noisiest(schedule):
    times = schedule.training_time(torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64))
    assert times[0] == 1
    assert times[2] > 0


@pytest.mark.parametrize("name", ["edm", "flow"])
def test_training_visits_all_times_of_a_continuous_schedule_evenly(name):
    times = SCHEDULES[name].training_time(TIMES[:-1])
    assert_exact(times.sort().values, TIMES[1:])


@every_schedule
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3)])
def test_results_are_shaped_and_typed_like_the_argument(schedule, shape, dtype):
    t = torch.full(shape, 0.5, dtype=dtype)
    log_snr = schedule.log_snr(t)
    for result in (*schedule(t), log_snr, schedule.time_at(log_snr), schedule.clock(t), schedule.training_time(t)):
        assert result.shape == shape
        assert result.dtype == dtype
        assert result.isfinite().all()


@every_schedule
def test_float32_keeps_its_digits_near_data(schedule):
    """Coefficients are rounded once and last: 1 − ᾱ taken in float32 would be off by 1e-4 at the first knot."""
    t = torch.logspace(-5, 0, 200)[:-1]
    for rounded, exact in zip(schedule(t), schedule(t.double()), strict=True):
        torch.testing.assert_close(rounded.double(), exact, rtol=1e-6, atol=0)


@every_chain
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_chain_is_read_in_float64_whatever_the_time_comes_in(chain, dtype):
    """T·t would miss its knot in a shorter dtype; only the result is rounded."""
    t = TIMES.to(dtype)
    for rounded, exact in zip(chain(t), chain(t.double()), strict=True):
        assert torch.equal(rounded, exact.to(dtype))


@every_schedule
def test_schedules_survive_pickling(schedule):
    """Data loaders and process groups send them around."""
    copy = pickle.loads(pickle.dumps(schedule))
    assert torch.equal(torch.stack(copy(TIMES)), torch.stack(schedule(TIMES)))
    assert torch.equal(copy.clock(INSIDE), schedule.clock(INSIDE))


@pytest.mark.parametrize("make", [schedules.linear, schedules.quadratic, schedules.cosine])
@pytest.mark.parametrize("steps", [0, -3, 2.5, 100.0, True, "100", None])
def test_a_chain_without_a_whole_number_of_steps_is_refused(make, steps):
    with pytest.raises(ValueError, match=f"a chain needs a whole number of steps, at least 1, not {steps!r}$"):
        make(steps)


@pytest.mark.parametrize("make", [schedules.linear, schedules.quadratic, schedules.cosine])
def test_chains_of_any_length(make):
    for steps in (1, 2, 3, 10):
        chain = make(steps)
        assert chain.steps == len(chain.betas) == steps
        assert 0 < chain.alphas_cumprod[-1] < 1


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_beta_outside_its_range_is_refused(beta):
    with pytest.raises(ValueError, match=f"every beta must lie strictly between 0 and 1, which {beta:g} does not$"):
        schedules.Chain(torch.tensor([0.1, beta, 0.2]))


@pytest.mark.parametrize("make", [schedules.linear, schedules.quadratic])
@pytest.mark.parametrize(
    ("first", "last", "named"), [(0.0, 0.02, 0), (1e-4, 1.0, 1), (-0.1, 0.02, -0.1), (0.02, -0.1, -0.1)]
)
def test_ends_outside_the_range_are_refused_by_their_value(make, first, last, named):
    with pytest.raises(ValueError, match=f"which {named:g} does not$"):
        make(2, beta_start=first, beta_end=last)


@pytest.mark.parametrize("betas", [torch.tensor(0.1), torch.empty(0), torch.full((2, 2), 0.1)])
def test_betas_that_are_no_vector_are_refused(betas):
    with pytest.raises(ValueError, match=r"shape \(T,\) with T at least 1, not \("):
        schedules.Chain(betas)


@pytest.mark.parametrize("betas", ["0.1", None, {"beta": 0.1}, [0.1, "0.2"], [[0.1], [0.1, 0.2]]])
def test_betas_that_are_no_numbers_are_refused(betas):
    with pytest.raises(ValueError, match=r"betas must be a tensor, an array or a list of numbers, not "):
        schedules.Chain(betas)


@pytest.mark.parametrize("s", [-1e-4, -1.0, 1.5, 1e16, float("inf"), float("nan")])
def test_an_offset_of_the_cosine_outside_its_range_is_refused(s):
    with pytest.raises(ValueError, match=re.escape(f"offset s of a cosine chain must lie between 0 and 1, not {s:g} ")):
        schedules.cosine(10, s=s)
    with pytest.raises(ValueError, match=r"schedule\.s must be "):
        config.section("schedule", {"kind": "cosine", "s": s})


@every_chain
def test_an_index_is_not_a_time(chain):
    with pytest.raises(ValueError, match=r"not torch.int64: index_to_time turns indices into times"):
        chain(torch.tensor(999))


@pytest.mark.parametrize("sigma_max", [0.0, -1.0, float("inf"), float("nan")])
def test_a_largest_noise_that_is_none_is_refused(sigma_max):
    with pytest.raises(ValueError, match=f"sigma_max must be positive and finite, not {sigma_max:g}$"):
        schedules.EDM(sigma_max)


@every_schedule
def test_training_never_goes_closer_to_data_than_the_earliest_time(schedule):
    times = schedule.training_time(torch.linspace(0, 1, 5001, dtype=torch.float64)[:-1])
    assert times.min() >= schedule.earliest - 1e-12
    assert times.min() - schedule.earliest < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_chain_keeps_its_betas_to_itself(dtype):
    given = torch.full((4,), 0.1, dtype=dtype)
    chain = schedules.Chain(given)
    given.zero_()
    assert chain.betas.tolist() == pytest.approx([0.1] * 4)


@pytest.mark.parametrize("of", [list, tuple, np.array])
def test_betas_are_given_in_any_form(of):
    """And kept at full precision: in single, 0.1 would be another β."""
    assert schedules.Chain(of([0.1, 0.2])) == schedules.Chain(torch.tensor([0.1, 0.2], dtype=torch.float64))


def test_chains_of_the_same_betas_are_equal():
    assert schedules.linear(10) == schedules.linear(10)
    assert len({schedules.linear(10), schedules.linear(10), schedules.cosine(10)}) == 2
    assert schedules.linear(10) != schedules.linear(11)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_the_share_of_the_ratio_that_noise_takes_lies_between_nothing_and_all(schedule):
    t = torch.linspace(0, 1, 50, dtype=torch.float64)
    drop = schedule.snr_drop(t[:, None], t)
    assert ((drop >= 0) & (drop <= 1)).all()
    assert (drop.tril() == 0).all(), "nothing is taken on the way back, or where nobody moves"
    s, t = t[5], t[40]
    ratio = torch.exp(schedule.log_snr(t) - schedule.log_snr(s))
    torch.testing.assert_close(schedule.snr_drop(s, t), 1 - ratio)
