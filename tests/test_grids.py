"""Grids: K steps are K + 1 falling times, each where its spacing says."""

from fractions import Fraction

import pytest
import torch

from kakusan import grids, schedules
from kakusan.errors import KakusanError
from tests.oracles import CHAINS, SCHEDULES

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
every_spacing = pytest.mark.parametrize("spacing", [grids.uniform_log_snr, grids.karras])
GRIDS = [grids.trailing, grids.leading, grids.uniform_log_snr, grids.karras]
# Leading counts the indices of a chain, so it has nothing to do elsewhere.
PAIRS = [(name, grid) for name in SCHEDULES for grid in GRIDS if name in CHAINS or grid is not grids.leading]


def even(values, tolerance=1e-8):
    """Whether neighbours are equally far apart."""
    gaps = values.diff()
    return torch.allclose(gaps, gaps.mean().expand_as(gaps), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("schedule", "grid"), PAIRS)
@pytest.mark.parametrize("steps", [1, 2, 3, 17, 50, 1000])
def test_times_fall_from_noise_to_clean_data(schedule, grid, steps):
    times = grid(SCHEDULES[schedule], steps)
    assert times.shape == (steps + 1,)
    assert times.dtype == torch.float64
    assert (times.diff() < 0).all()
    assert times[0] <= 1
    assert times[-1] == 0


@pytest.mark.parametrize("grid", [grids.trailing, grids.leading])
@pytest.mark.parametrize("length", [1, 2, 7, 49, 100])
def test_any_number_of_steps_stands_on_the_knots_of_any_chain(grid, length):
    """No two times are rounded onto one knot, and as many steps as there are indices are all indices."""
    chain = schedules.cosine(length)
    for steps in range(1, length + 1):
        times = grid(chain, steps)
        assert len(times) == steps + 1
        assert (times.diff() < 0).all()
        assert torch.equal(times, ((times * length).round() / length))
    assert torch.equal(chain.time_to_index(times), torch.arange(length - 1, -2, -1))


@every_schedule
def test_trailing_starts_at_pure_noise(schedule):
    for steps in (1, 3, 10):
        times = grids.trailing(schedule, steps)
        assert times[0] == 1
        assert even(times, tolerance=1e-3)


def test_leading_ends_at_index_zero():
    times = grids.leading(CHAINS["linear"], 3)
    assert CHAINS["linear"].time_to_index(times).tolist() == [666, 333, 0, -1]


@every_chain
@pytest.mark.parametrize("grid", [grids.trailing, grids.leading])
@pytest.mark.parametrize("steps", [1, 3, 7, 20, 50, 250, 999, 1000])
def test_spacings_are_diffusers(chain, grid, steps):
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(timestep_spacing=grid.__name__)
    theirs.set_timesteps(steps)
    assert chain.time_to_index(grid(chain, steps)[:-1]).tolist() == theirs.timesteps.tolist()[:steps]


@every_schedule
@every_spacing
@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize("steps", [2, 3, 10])
def test_a_spacing_keeps_its_ends(schedule, spacing, to_zero, steps):
    times = spacing(schedule, steps, start=-6.0, end=5.0, to_zero=to_zero)
    log_snr = schedule.log_snr(times[:-1] if to_zero else times)
    assert len(times) == steps + 1
    assert log_snr[0].item() == pytest.approx(-6, abs=1e-8)
    assert log_snr[-1].item() == pytest.approx(5, abs=1e-8)
    assert (times[-1] == 0) == to_zero


@every_schedule
@pytest.mark.parametrize("to_zero", [True, False])
def test_each_spacing_is_even_in_what_it_is_named_for(schedule, to_zero):
    ends = {"start": -7.0, "end": 8.0, "to_zero": to_zero}
    inside = slice(None, -1 if to_zero else None)
    assert even(schedule.log_snr(grids.uniform_log_snr(schedule, 12, **ends)[inside]))
    for rho in (3.0, 7.0):
        alpha, sigma = schedule(grids.karras(schedule, 12, rho=rho, **ends)[inside])
        assert even((sigma / alpha) ** (1 / rho))


def test_karras_is_equation_five_of_its_paper():
    """σ from 80 to 0.002, then 0; the schedule's own end is where it starts."""
    edm, n = schedules.EDM(), 18
    i = torch.arange(n, dtype=torch.float64)
    sigma = (80 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(edm(grids.karras(edm, n))[1][:-1], sigma, rtol=1e-9, atol=0)


@every_schedule
@every_spacing
def test_a_start_out_of_reach_becomes_the_noisiest_time(schedule, spacing):
    """Time would stand still below it; rectified flow alone reaches any."""
    times = spacing(schedule, 10, start=-30.0)
    assert (times.diff() < 0).all()
    assert times[0].item() == pytest.approx(1, abs=1e-6)


@every_schedule
@every_spacing
def test_one_step_goes_from_the_start_to_clean_data(schedule, spacing):
    times = spacing(schedule, 1, start=-5.0)
    assert schedule.log_snr(times[0]).item() == pytest.approx(-5, abs=1e-9)
    assert times[1] == 0


@pytest.mark.parametrize("grid", GRIDS)
def test_a_chain_of_one_step_has_one_step(grid):
    assert grid(schedules.linear(1), 1).tolist() == [1, 0]


@pytest.mark.parametrize("grid", [grids.trailing, grids.leading])
@pytest.mark.parametrize(("steps", "mend"), [(1001, 1000), (0, 1), (-5, 1)])
def test_a_chain_refuses_more_steps_than_it_has(grid, steps, mend):
    with pytest.raises(ValueError, match=f"between 1 and 1000 for this chain, not {steps} \\(use --steps {mend}, or"):
        grid(CHAINS["linear"], steps)


@pytest.mark.parametrize("grid", [grids.trailing, grids.uniform_log_snr, grids.karras])
def test_a_walk_without_steps_is_refused(grid):
    with pytest.raises(ValueError, match=r"a walk needs at least 1 step, not 0$"):
        grid(schedules.RectifiedFlow(), 0)


@every_spacing
def test_spacings_of_log_snr_may_have_more_steps_than_a_chain(spacing):
    assert (spacing(schedules.linear(7), 100, end=4.0).diff() < 0).all()


@pytest.mark.parametrize("name", ["edm", "flow"])
def test_leading_needs_a_chain(name):
    with pytest.raises(ValueError, match=r"leading spacing needs a chain, and .* has no steps \(use trailing\)"):
        grids.leading(SCHEDULES[name], 10)


@every_spacing
@pytest.mark.parametrize(("start", "end"), [(5.0, 5.0), (5.0, -5.0), (-10.0, -8.0)])
def test_a_grid_that_would_not_fall_is_refused(spacing, start, end):
    """Also where it only seems to: quadratic's chain starts at −7.2."""
    mend = "use --steps 1, or the grid trailing" if start == end else "move its ends, or use the grid trailing"
    with pytest.raises(ValueError, match=rf"a log-SNR above its start, .*, not at {end:g} \({mend}\)$"):
        spacing(CHAINS["quadratic"], 10, start=start, end=end)


@pytest.mark.parametrize("make", [grids.uniform_log_snr, grids.karras])
@pytest.mark.parametrize("chain", [schedules.linear(), schedules.cosine(), schedules.cosine(20), schedules.linear(50)])
def test_no_time_but_clean_data_lies_closer_to_data_than_training_went(make, chain):
    times = make(chain, 12)
    assert times[-1] == 0
    assert times[-2].item() == pytest.approx(chain.earliest, abs=1e-12)
    assert (times.diff() < 0).all()


@pytest.mark.parametrize("make", [grids.uniform_log_snr, grids.karras])
def test_a_chain_of_one_step_has_a_walk_of_one_step(make):
    assert make(schedules.linear(1), 1).tolist() == [1.0, 0.0]
    with pytest.raises(
        KakusanError, match=r"must end at .* above its start.* \(use --steps 1, or the grid trailing\)$"
    ):
        make(schedules.linear(1), 2)
    assert grids.trailing(schedules.linear(1), 1).tolist() == [1.0, 0.0]


def test_a_spacing_that_is_not_positive_is_refused():
    with pytest.raises(KakusanError, match="rho must be positive, not 0"):
        grids.karras(schedules.EDM(), 10, rho=0)


@pytest.mark.parametrize("chain_steps", [1, 7, 50, 1000])
def test_trailing_rounds_whole_numbers_and_ties_up(chain_steps):
    """⌊T·k/K + ½⌋, by fractions of whole numbers."""
    for steps in range(1, chain_steps + 1, max(1, chain_steps // 100)):
        knots = (grids.trailing(schedules.linear(chain_steps), steps) * chain_steps).round().int().tolist()
        assert knots == [int(Fraction(chain_steps * k, steps) + Fraction(1, 2)) for k in range(steps, -1, -1)]
