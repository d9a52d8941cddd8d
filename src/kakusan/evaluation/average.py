"""The mean of numbers that were measured one by one, and the doubt about it."""

from __future__ import annotations

import math

from torch import Tensor

from kakusan.proportions import student
from kakusan.results import Value


def average(values: Tensor, fewest: int = 2) -> Value:
    """Returns the mean of ``values``, shape (n,), with its confidence interval of 95 %; of fewer than ``fewest``
    without."""
    mean = values.mean().item()
    if len(values) < fewest:
        return Value(value=mean)
    half = student(len(values)) * values.std().item() / math.sqrt(len(values))
    return Value(value=mean, interval=(mean - half, mean + half))
