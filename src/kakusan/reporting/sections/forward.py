"""The forward process: one picture of the data on its way to noise, and the chain that it walks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kakusan import seeds
from kakusan.objective import q_sample
from kakusan.reporting.correlation import correlation, holds_from
from kakusan.reporting.film import Frame, film
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language
from kakusan.schedules import Schedule

_FRAMES = 34  # so that the twelve of the strip are evenly spaced
_KNOWN = 0.5


def section(say: Language, original: Tensor | None, schedule: Schedule) -> Section | None:
    """Shows how noise covers a picture.

    Args:
        say: The language.
        original: A picture of the data, values in [-1, 1], shape (C, H, W); None where there is none to show.
        schedule: How much noise there is at a time.
    """
    if original is None:
        return None
    times = torch.linspace(0, 1, _FRAMES, dtype=torch.float64)
    noised = noising(original, schedule, times)
    title = finding(say, original, schedule, times.tolist(), noised)
    frames = [Frame(f"t = {t:.2f}", (x.clamp(-1, 1),)) for t, x in zip(times.tolist(), noised, strict=True)]
    figure = Figure(
        title=title,
        content=film(say, frames, [say("forward.x")]) + fragment("chain.html.jinja", say),
        caption=say("forward.caption"),
        alt=say("forward.alt", title=title),
    )
    return Section("forward", say("forward.heading"), figure)


def noising(original: Tensor, schedule: Schedule, times: Tensor) -> Tensor:
    """Returns x_t/√(α² + σ²) of one picture and one noise at ``times`` (K,), shape (K, C, H, W).

    Under a chain that is x_t itself; under any other schedule it has a chain's contrast, and no σ of 80 blinds the eye.
    """
    x0 = original.detach().to("cpu", torch.float64)
    epsilon = torch.randn(x0.shape, generator=seeds.generator(0, "forward"), dtype=torch.float64)
    x_t = q_sample(schedule, x0.expand(len(times), *x0.shape), times, epsilon.expand(len(times), *x0.shape))
    alpha, sigma = schedule(times)
    return x_t / torch.hypot(alpha, sigma)[:, None, None, None]


def finding(say: Language, original: Tensor, schedule: Schedule, times: Sequence[float], noised: Tensor) -> str:
    """Says from what time on the noisy picture correlates by less than a half with the original.

    Where it never does, or the picture is of one grey and correlates with nothing, says how much signal is left.
    """
    lost = holds_from([correlation(x, original) < _KNOWN for x in noised])
    if lost is not None:
        return say("forward.lost", time=f"{times[lost]:.2f}", known=_KNOWN)
    alpha, sigma = schedule(torch.ones((), dtype=torch.float64))
    return say("forward.left", signal=(alpha**2 / (alpha**2 + sigma**2)).item())
