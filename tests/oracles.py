"""The denoiser of a correlated Gaussian in closed form, and what it takes to hold a sampler against them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from kakusan import schedules
from kakusan.denoiser import Denoise, Prediction, expand
from kakusan.samplers import Step
from kakusan.schedules import Schedule

CHAINS = {"linear": schedules.linear(), "cosine": schedules.cosine(), "quadratic": schedules.quadratic()}
SCHEDULES: dict[str, Schedule] = {**CHAINS, "edm": schedules.EDM(), "flow": schedules.RectifiedFlow()}

# Log-SNR that every schedule reaches: quadratic, the shortest, starts at −7.2.
REACH = {"start": -7.0, "end": 7.0}


_MEAN = torch.tensor([0.3, -0.5], dtype=torch.float64)
_COVARIANCE = torch.tensor([[0.5, 0.25], [0.25, 0.2]], dtype=torch.float64)


@dataclass(frozen=True)
class Gaussian:
    r"""The exact denoiser of data x_0 ~ N(m, C): by default two coordinates that are correlated.

    .. math:: x_t \sim N(\alpha m, V), \quad V = \alpha^2 C + \sigma^2, \qquad
              E[x_0 \mid x_t] = m + \alpha C V^{-1} (x_t - \alpha m)

    C and V share their axes, so everything is computed one axis at a time.

    Args:
        schedule: From time to α and σ.
        mean: m, shape (D,).
        covariance: C, shape (D, D).
    """

    schedule: Schedule
    mean: Tensor = _MEAN
    covariance: Tensor = _COVARIANCE

    @cached_property
    def _axes(self) -> tuple[Tensor, Tensor]:
        """Variance along every axis, and the axes as columns."""
        return torch.linalg.eigh(self.covariance)

    def _centred(self, x: Tensor, t: Tensor) -> Tensor:
        return (x - (self.schedule(t)[0][..., None] * self.mean).to(x)) @ self._axes[1].to(x)

    def _variances(self, t: Tensor) -> Tensor:
        alpha, sigma = self.schedule(t)
        return (alpha**2)[..., None] * self._axes[0] + (sigma**2)[..., None]

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """Returns the exact prediction for ``x_t``, shape (B, D), at times ``t``, shape () or (B,)."""
        alpha, sigma = self.schedule(t)
        gain = alpha[..., None] * self._axes[0] / self._variances(t)
        x0 = self.mean.to(x_t) + (gain.to(x_t) * self._centred(x_t, t)) @ self._axes[1].T.to(x_t)
        return Prediction.from_x0(x_t, x0, alpha, sigma)

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mean (D,) and the covariance (D, D) of x_t."""
        alpha, sigma = self.schedule(t)
        return alpha * self.mean, alpha**2 * self.covariance + sigma**2 * torch.eye(len(self.mean), dtype=torch.float64)

    def flow(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Carries ``x``, shape (B, D), from time ``t`` to ``s`` along the probability flow: each axis is stretched.

        Source: Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations", 2021,
        equation (13), solved for a Gaussian.
        """
        stretch = (self._variances(s) / self._variances(t)).sqrt()
        return self.schedule(s)[0] * self.mean + (stretch * self._centred(x, t)) @ self._axes[1].T


class Recorder(nn.Module):
    """A network without weights that computes ``function`` and remembers what it was called with."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function
        self.calls: list[tuple] = []

    def forward(self, *arguments) -> Tensor:
        self.calls.append(arguments)
        return self.function(*arguments)


def start(denoise: Denoise, count: int, t: Tensor, *, dimensions: int = 2, seed: int = 0) -> Tensor:
    """Returns σ(t)·z, where samplers start, shape (count, D): float64, and the same z under every schedule."""
    z = torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return expand(denoise.schedule(t)[1], z) * z


def last(steps: Iterable[Step]) -> Tensor:
    """Walks to the end and returns the sample, shape (B, *)."""
    return deque(steps, maxlen=1).pop().x


def seeded_noise(seed: int) -> Callable[[Tensor], Tensor]:
    """Returns a source of standard normal noise; equal seeds make equal draws."""
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype)


def no_noise(x: Tensor) -> Tensor:
    """Stands where a walk must not ask for noise."""
    raise AssertionError(f"noise of shape {tuple(x.shape)} was asked for")


def moments(
    sampler: Callable[..., Iterator[Step]], oracle: Gaussian, times: Tensor, **options
) -> tuple[Tensor, Tensor]:
    """Returns the exact mean (D,) and covariance (D, D) of what ``sampler`` makes of the true marginal at ``times[0]``.

    Under a Gaussian's denoiser every step is affine in x and in its noise. So one walk of a batch in which each row is
    pushed once, at the start or by one step's noise, along one coordinate, measures the whole map: nothing is random.
    """
    mean, covariance = oracle.marginal(times[0])
    size = len(mean)
    pushes = iter(torch.eye(size * len(times), dtype=torch.float64).split(size, dim=1))  # one row stays unpushed
    still = torch.zeros(1, size, dtype=torch.float64)

    def push(_: Tensor) -> Tensor:
        return torch.cat([still, next(pushes)])

    # A covariance is the square of its Cholesky factor, by which the first push is shaped.
    x = mean + push(still) @ torch.linalg.cholesky(covariance).T
    centre, *responses = last(sampler(oracle, x, times, noise=push, **options))
    response = torch.stack(responses) - centre
    return centre, response.T @ response
