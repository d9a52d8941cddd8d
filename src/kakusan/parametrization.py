"""What a network's output F means: ε, x_0, v, the velocity of a flow, or EDM's mixture.

A parametrization depends on α and σ alone, so it fits any schedule; only its clock ties a trained network to one. It
says at which scale the network is shown x_t; which x_0 and ε its output F stands for; and what F should have been. With
s² = α² + σ², 1 for a chain:

=======  ===================  =========  ========================  ===================
name     F                    c_in       x_0                       ε
=======  ===================  =========  ========================  ===================
epsilon  ε                    1/s        (x_t − σ·F)/α             F
x0       x_0                  1/s        F                         (x_t − α·F)/σ
v        α·ε − σ·x_0          1/s        (α·x_t − σ·F)/s²          (σ·x_t + α·F)/s²
flow     ε − x_0              1/(α + σ)  (x_t − σ·F)/(α + σ)       (x_t + α·F)/(α + σ)
edm      sin·x_0/σ_d − cos·ε  1/d        σ_d·(cos·x_t/d + sin·F)   sin·x_t/d − cos·F
=======  ===================  =========  ========================  ===================

with d² = α²σ_d² + σ², the variance of x_t where the data have deviation σ_d, and cos = α·σ_d/d, sin = σ/d.

ε is read off directly and not as (x_t − α·x_0)/σ, which would amplify rounding near data; only x0 has nothing better.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from kakusan.errors import KakusanError
from kakusan.schedules import Schedule


class Parametrization(Protocol):
    """The meaning of a network's output F, as the table above has it."""

    def c_in(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Returns the scale at which the network is shown x_t, shaped like ``alpha`` and ``sigma``."""

    def recover(self, x_t: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the x_0 and ε of which ``x_t`` is made if ``output`` is right; α and σ already broadcast."""

    def target(self, x0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Returns the F from which :meth:`recover` gives ``x0`` and ``epsilon`` back; α and σ already broadcast."""

    def check(self, schedule: Schedule) -> None:
        """Raises KakusanError where F cannot be learned, or x_0 not be recovered, somewhere along ``schedule``."""


@dataclass(frozen=True)
class Epsilon(Parametrization):
    """F is the noise: Ho, Jain & Abbeel, 2020, equation (14)."""

    def c_in(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return _unit_variance(alpha, sigma)

    def recover(self, x_t: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return (x_t - sigma * output) / alpha, output

    def target(self, x0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return epsilon

    def check(self, schedule: Schedule) -> None:
        if schedule(torch.ones((), dtype=torch.float64))[0] == 0:
            raise KakusanError(
                f"epsilon cannot be predicted under {type(schedule).__name__}: no signal is left at its end (α = 0), "
                "where x_0 = (x_t − σ·ε)/α is infinite (use the parametrization v, flow, edm or x0)"
            )


@dataclass(frozen=True)
class X0(Parametrization):
    """F is the clean image."""

    def c_in(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return _unit_variance(alpha, sigma)

    def recover(self, x_t: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return output, (x_t - alpha * output) / sigma

    def target(self, x0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return x0

    def check(self, schedule: Schedule) -> None:
        """Every schedule will do."""


@dataclass(frozen=True)
class V(Parametrization):
    """F is v = α·ε − σ·x_0: Salimans & Ho, "Progressive Distillation for Fast Sampling", 2022, appendix D."""

    def c_in(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return _unit_variance(alpha, sigma)

    def recover(self, x_t: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        variance = alpha**2 + sigma**2
        return (alpha * x_t - sigma * output) / variance, (sigma * x_t + alpha * output) / variance

    def target(self, x0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return alpha * epsilon - sigma * x0

    def check(self, schedule: Schedule) -> None:
        sigma = schedule(torch.ones((), dtype=torch.float64))[1].item()
        if sigma > 1:
            raise KakusanError(
                f"v cannot be predicted under {type(schedule).__name__}: v = α·ε − σ·x_0 grows with σ, to {sigma:g} "
                "times the data (use the parametrization edm)"
            )


@dataclass(frozen=True)
class Flow(Parametrization):
    """F is the velocity ε − x_0 of the straight path from data to noise; c_in rescales any schedule to that path.

    Source: Lipman et al., "Flow Matching for Generative Modeling", 2022, equation (23) with σ_min = 0.
    """

    def c_in(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return 1 / (alpha + sigma)

    def recover(self, x_t: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        total = alpha + sigma
        return (x_t - sigma * output) / total, (x_t + alpha * output) / total

    def target(self, x0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return epsilon - x0

    def check(self, schedule: Schedule) -> None:
        """Every schedule will do."""


@dataclass(frozen=True)
class EDMPreconditioning(Parametrization):
    """F has unit variance at every noise level, and its errors are amplified as little as can be.

    Source: Karras et al., 2022, table 1 and appendix B.6; with x_t/α and σ/α for their x and σ where α is not 1.

    Args:
        sigma_data: σ_d, the standard deviation of the data; 0.5 is usual for pixels in [−1, 1].

    Raises:
        KakusanError: ``sigma_data`` is not positive.
    """

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.sigma_data < float("inf"):
            raise KakusanError(f"sigma_data must be positive and finite, not {self.sigma_data:g}")

    def c_in(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return 1 / self._deviation(alpha, sigma)

    def recover(self, x_t: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        cosine, sine = self._angle(alpha, sigma)
        shown = x_t / self._deviation(alpha, sigma)
        return self.sigma_data * (cosine * shown + sine * output), sine * shown - cosine * output

    def target(self, x0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        cosine, sine = self._angle(alpha, sigma)
        return sine * x0 / self.sigma_data - cosine * epsilon

    def check(self, schedule: Schedule) -> None:
        """Every schedule will do."""

    def _deviation(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return (alpha**2 * self.sigma_data**2 + sigma**2).sqrt()

    def _angle(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Returns how much of x_t/d is x_0/σ_d, and how much is ε."""
        deviation = self._deviation(alpha, sigma)
        return alpha * self.sigma_data / deviation, sigma / deviation


def _unit_variance(alpha: Tensor, sigma: Tensor) -> Tensor:
    return (alpha**2 + sigma**2).rsqrt()
