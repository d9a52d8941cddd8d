"""Which times a sampler visits. K steps are K + 1 times, decreasing.

How many network calls a step costs is the sampler's affair.
"""

import math

import torch
from torch import Tensor

from kakusan.errors import KakusanError
from kakusan.schedules import Chain, Schedule

# Data are clean to the eye from here on: σ/α = 0.002, where EDM's grid ends.
CLEAN_LOG_SNR = -2 * math.log(0.002)


def trailing(schedule: Schedule, steps: int) -> Tensor:
    """Even steps of time from t = 1 to 0; on a chain each is rounded to one of its indices, T − 1 first.

    Source: "trailing" in Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", 2023, table 2.

    Args:
        schedule: What is walked along.
        steps: K, at most T on a chain.

    Returns:
        Times, float64, shape (K + 1,).

    Raises:
        KakusanError: ``steps`` is below 1, or above T on a chain.
    """
    _check_steps(steps, schedule)
    if not isinstance(schedule, Chain):
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    # ⌊T·k/K + ½⌋ in whole numbers: rounding fractions would break ties as their last bits have it.
    knots = (2 * schedule.steps * torch.arange(steps, -1, -1) + steps) // (2 * steps)
    return knots.double() / schedule.steps


def leading(schedule: Schedule, steps: int) -> Tensor:
    """Every ⌊T/K⌋-th index of a chain, counted from index 0, then clean data: the first time is below 1 unless K = T.

    Source: "leading" in Lin et al., 2023, table 2; the spacing of the code of Song et al., 2020.

    Returns:
        Times, float64, shape (K + 1,).

    Raises:
        KakusanError: The schedule is no chain, or ``steps`` is below 1 or above T.
    """
    if not isinstance(schedule, Chain):
        raise KakusanError(f"leading spacing needs a chain, and {type(schedule).__name__} has no steps (use trailing)")
    _check_steps(steps, schedule)
    index = torch.arange(steps - 1, -1, -1) * (schedule.steps // steps)
    return torch.cat([schedule.index_to_time(index), torch.zeros(1, dtype=torch.float64)])


def uniform_log_snr(
    schedule: Schedule, steps: int, *, start: float = -10.0, end: float = CLEAN_LOG_SNR, to_zero: bool = True
) -> Tensor:
    """Even steps of log-SNR from ``start`` up to ``end``, and a last one to clean data.

    Args:
        schedule: What is walked along.
        steps: K. With ``to_zero`` K − 1 even steps and one to t = 0.
        start: First log-SNR; where the schedule does not reach so far, its noisiest.
        end: Last log-SNR before t = 0; where training never was so close to data, the cleanest that it visits.
        to_zero: Whether a last step leads to t = 0.

    Returns:
        Times, float64, shape (K + 1,).

    Raises:
        KakusanError: ``steps`` is below 1, or ``end`` is not above ``start``.
    """
    _check_steps(steps)
    points = steps + (not to_zero)
    low, high = _ends(schedule, start, end, points)
    return _times(schedule, torch.linspace(low, high, points, dtype=torch.float64), to_zero)


def karras(
    schedule: Schedule,
    steps: int,
    *,
    rho: float = 7.0,
    start: float = -10.0,
    end: float = CLEAN_LOG_SNR,
    to_zero: bool = True,
) -> Tensor:
    r"""Even steps of (σ/α)^{1/ρ} between two log-SNRs, and a last one to clean data: more of them near data.

    Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, equation (5).
    Arguments, return and errors are those of :func:`uniform_log_snr`; ``rho`` is positive.
    """
    _check_steps(steps)
    if not rho > 0:
        raise KakusanError(f"rho must be positive, not {rho:g}")
    points = steps + (not to_zero)
    noisiest, cleanest = (math.exp(-log_snr / 2 / rho) for log_snr in _ends(schedule, start, end, points))
    ratio = torch.linspace(noisiest, cleanest, points, dtype=torch.float64) ** rho
    return _times(schedule, -2 * ratio.log(), to_zero)


def _check_steps(steps: int, schedule: Schedule | None = None) -> None:
    if isinstance(schedule, Chain) and not 1 <= steps <= schedule.steps:
        raise KakusanError(
            f"steps must be between 1 and {schedule.steps} for this chain, not {steps} "
            f"(use --steps {min(max(steps, 1), schedule.steps)}, or the grid uniform_log_snr or karras)"
        )
    if steps < 1:
        raise KakusanError(f"a walk needs at least 1 step, not {steps}")


def _ends(schedule: Schedule, start: float, end: float, points: int) -> tuple[float, float]:
    """Returns first and last log-SNR, no further than the schedule reaches and training went.

    Beyond its noisiest, time would stand still; closer to data than training ever was, no network knows what to do.
    """
    reach = schedule.log_snr(torch.tensor([1.0, schedule.earliest], dtype=torch.float64))
    low, high = max(start, reach[0].item()), min(end, reach[1].item())
    if low > high or (low == high and points > 1):
        mend = "use --steps 1, or the grid trailing" if low == high else "move its ends, or use the grid trailing"
        raise KakusanError(f"a grid must end at a log-SNR above its start, {low:g}, not at {high:g} ({mend})")
    return low, high


def _times(schedule: Schedule, log_snr: Tensor, to_zero: bool) -> Tensor:
    times = schedule.time_at(log_snr)
    return torch.cat([times, times.new_zeros(1)]) if to_zero else times
