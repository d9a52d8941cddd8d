"""How long samples take to draw, several ways taking turns, so that whatever slows the machine slows all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from pydantic import BaseModel

from kakusan import sampling
from kakusan.devices import machine
from kakusan.progress import Bar
from kakusan.sampling import Plan

ROUNDS = 3


class Times(BaseModel):
    """What ways to draw take.

    Attributes:
        seconds: An image, by way: the median of the rounds.
        protocol: How it was measured.
    """

    seconds: dict[str, float]
    protocol: dict[str, Any]


def in_turn(plans: Mapping[str, Plan], weights: str, show: bool = True) -> Times:
    """Returns how long plans take, an image.

    Args:
        plans: By name.
        weights: The hash of the weights that draw.
        show: Whether to show progress.
    """
    spent: dict[str, list[float]] = {name: [] for name in plans}
    for turn in range(ROUNDS):
        for name, plan in plans.items():
            with Bar(f"round {turn + 1} of {ROUNDS}, {name}", 1, show=show) as bar:
                started = time.perf_counter()
                sampling.sample(plan, bar.report).cpu()
                spent[name].append((time.perf_counter() - started) / plan.n)
    images = {plan.n for plan in plans.values()}
    protocol = {"images": max(images), "rounds": ROUNDS, "machine": machine(), "weights_hash": weights}
    return Times(seconds={name: median(times) for name, times in spent.items()}, protocol=protocol)
