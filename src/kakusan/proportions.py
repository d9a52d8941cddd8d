"""Means and shares of a number of images, and how far two of them may differ by chance."""

import math
from functools import cache

Z_95 = 1.96
"""Deviations of a normal distribution between which 95 % of it lie, either way."""


@cache
def student(n: int) -> float:
    """Returns how many standard errors either way of a mean the true one lies, with a confidence of 95 %, where both
    were found from ``n`` ≥ 2 numbers.

    Source: Student, "The Probable Error of a Mean", 1908.
    """
    from scipy.special import stdtrit  # a tenth of a second

    return float(stdtrit(n - 1, 0.975))


def interval(share: float, n: int) -> tuple[float, float]:
    """Returns between what shares the true one lies with a confidence of 95 %, where ``share`` of ``n`` was found.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    z2 = Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def as_large(share: float, n: int, other: float, other_n: int) -> bool:
    """Whether ``share`` of ``n`` is as large as ``other`` of ``other_n``, or behind by no more than chance explains.

    The bound on the difference is Newcombe's, of 95 %, made of the two intervals.

    Source: Newcombe, "Interval Estimation for the Difference Between Independent Proportions", 1998, method 10.
    """
    reach = math.hypot(interval(share, n)[1] - share, other - interval(other, other_n)[0])
    return other - share <= reach
