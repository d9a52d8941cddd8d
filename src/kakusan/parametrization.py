"""What a network's output F means: ε, x_0, v, the velocity of a flow, or EDM's mixture.

A parametrization depends on α and σ alone, so a schedule can be exchanged under a trained network. It says how x_0
follows from F, x_0 = c_skip·x_t + c_out·F(c_in·x_t), and what F should have been. With s² = α² + σ², 1 for a chain:

==========  ================  ==============  ==========  ====================
name        F                 c_in            c_skip      c_out
==========  ================  ==============  ==========  ====================
epsilon     ε                 1/s             1/α         −σ/α
x0          x_0               1/s             0           1
v           α·ε − σ·x_0       1/s             α/s²        −σ/s²
flow        ε − x_0           1/(α + σ)       1/(α + σ)   −σ/(α + σ)
edm         unit variance     1/d             α·σ_d²/d²   σ·σ_d/d
==========  ================  ==============  ==========  ====================

with d² = α²σ_d² + σ², the variance of x_t where the data have deviation σ_d.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from kakusan.errors import KakusanError
from kakusan.schedules import Schedule


class Parametrization(Protocol):
    """The meaning of a network's output. Coefficients are shaped like α and σ; tensors broadcast against them."""

    def coefficients(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns c_in, c_skip and c_out of x_0 = c_skip·x_t + c_out·F(c_in·x_t)."""

    def target(self, x0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Returns the F that gives ``x0`` back, from what x_t was made of; α and σ already broadcast."""

    def check(self, schedule: Schedule) -> None:
        """Raises KakusanError where F cannot be learned, or x_0 not be recovered, somewhere along ``schedule``."""


@dataclass(frozen=True)
class Epsilon(Parametrization):
    """F is the noise: Ho, Jain & Abbeel, 2020, equation (14)."""

    def coefficients(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _unit_variance(alpha, sigma), 1 / alpha, -sigma / alpha

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

    def coefficients(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _unit_variance(alpha, sigma), torch.zeros_like(alpha), torch.ones_like(alpha)

    def target(self, x0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return x0

    def check(self, schedule: Schedule) -> None:
        """Every schedule will do."""


@dataclass(frozen=True)
class V(Parametrization):
    """F is v = α·ε − σ·x_0: Salimans & Ho, "Progressive Distillation for Fast Sampling", 2022, appendix D."""

    def coefficients(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        variance = alpha**2 + sigma**2
        return _unit_variance(alpha, sigma), alpha / variance, -sigma / variance

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

    def coefficients(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = alpha + sigma
        return 1 / total, 1 / total, -sigma / total

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

    def coefficients(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        deviation = self._deviation(alpha, sigma)
        return 1 / deviation, alpha * self.sigma_data**2 / deviation**2, sigma * self.sigma_data / deviation

    def target(self, x0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        # (x_0 − c_skip·x_t)/c_out with σ divided out, so that nothing cancels near data.
        deviation = self._deviation(alpha, sigma)
        return (sigma * x0 - alpha * self.sigma_data**2 * epsilon) / (self.sigma_data * deviation)

    def check(self, schedule: Schedule) -> None:
        """Every schedule will do."""

    def _deviation(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return (alpha**2 * self.sigma_data**2 + sigma**2).sqrt()


def _unit_variance(alpha: Tensor, sigma: Tensor) -> Tensor:
    return (alpha**2 + sigma**2).rsqrt()
