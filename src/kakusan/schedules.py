"""Noise schedules: how much signal α and how much noise σ there is in x_t = α·x_0 + σ·ε at a time t.

Time is a float in [0, 1]: 0 is data, 1 is the noisiest. Log-SNR is λ = ln(α²/σ²). A schedule knows no network; it only
says what number a network is told instead of t: its clock.
"""

import reprlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import logsigmoid

from kakusan.errors import KakusanError


class Schedule(ABC):
    """From time to (α, σ), and from log-SNR back to time. Results take shape, dtype and device of the argument."""

    @abstractmethod
    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Returns α and σ at times ``t`` in [0, 1], of any shape."""

    @abstractmethod
    def time_at(self, log_snr: Tensor) -> Tensor:
        """Returns the time whose log-SNR is ``log_snr``; beyond the schedule's reach, its nearest end."""

    @abstractmethod
    def clock(self, t: Tensor) -> Tensor:
        """Returns what a network is told at times ``t``."""

    def log_snr(self, t: Tensor) -> Tensor:
        """Returns λ(t) = 2·(ln α − ln σ), which falls strictly from +∞ at t = 0."""
        alpha, sigma = self(t)
        return 2 * (alpha.log() - sigma.log())

    def snr_drop(self, s: Tensor, t: Tensor) -> Tensor:
        """Returns 1 − SNR_t/SNR_s: the share of the signal-to-noise ratio that noise takes from time ``s`` to ``t``.

        It is 0 where t is not later, the ends of time included. As an exponential of log-SNR it stays in [0, 1], out of
        which the quotient would round.
        """
        return -torch.expm1(torch.where(t > s, self.log_snr(t) - self.log_snr(s), 0.0))

    @property
    def earliest(self) -> float:
        """The earliest time that training visits: what lies between clean data and it, no network has seen."""
        return 0.0

    def training_time(self, quantile: Tensor) -> Tensor:
        """Returns the times at which training visits uniform draws ``quantile`` from [0, 1): here (0, 1] itself."""
        return 1 - quantile


class Chain(Schedule):
    r"""T steps of noising that preserve variance, made continuous in time.

    .. math:: q(x_i \mid x_{i-1}) = N(\sqrt{1 - \beta_i}\, x_{i-1}, \beta_i), \qquad
              \alpha = \sqrt{\bar\alpha}, \quad \sigma = \sqrt{1 - \bar\alpha}, \quad
              \bar\alpha_i = \prod_{j \le i} (1 - \beta_j)

    Index i = 0 … T − 1 stands at t = (i + 1)/T: index 0 is already a little noisy, and t = 0 is clean. Between these
    knots ln ᾱ is linear.

    Source: Ho, Jain & Abbeel, "Denoising Diffusion Probabilistic Models", 2020, equations (2) and (4).

    Args:
        betas: β_0 … β_{T−1}, each strictly between 0 and 1, shape (T,): a tensor, an array or a list.

    Attributes:
        betas: β of every index, float64 on the CPU, shape (T,).
        alphas_cumprod: ᾱ of every index, float64 on the CPU, shape (T,).
        steps: T.

    Raises:
        KakusanError: ``betas`` are no numbers, no vector, empty, or leave (0, 1); on calls, times are integers.
    """

    def __init__(self, betas: Tensor | ArrayLike) -> None:
        try:
            given = betas if isinstance(betas, Tensor) else torch.as_tensor(betas, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise KakusanError(
                f"betas must be a tensor, an array or a list of numbers, not {reprlib.repr(betas)}"
            ) from error
        betas = given.detach().to("cpu", torch.float64, copy=True)
        if betas.ndim != 1 or len(betas) == 0:
            raise KakusanError(f"betas must have shape (T,) with T at least 1, not {tuple(betas.shape)}")
        refused = betas[~((betas > 0) & (betas < 1))]
        if len(refused) > 0:
            raise KakusanError(f"every beta must lie strictly between 0 and 1, which {refused[0].item():g} does not")
        # ln ᾱ and not ᾱ: near data 1 − ᾱ would cancel. On the CPU: some accelerators have no float64.
        self._log_alpha_bar = torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-betas).cumsum(0)])
        self.betas = betas
        self.alphas_cumprod = self._log_alpha_bar[1:].exp()
        self.steps = len(betas)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and torch.equal(self.betas, other.betas)

    def __hash__(self) -> int:
        return hash((type(self), self.steps, self.betas[0].item(), self.betas[-1].item()))

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        if not t.is_floating_point():
            raise KakusanError(f"times are floats in [0, 1], not {t.dtype}: index_to_time turns indices into times")
        place = t.to("cpu", torch.float64) * self.steps
        knot = place.floor().long().clamp(0, self.steps - 1)
        log_alpha_bar = torch.lerp(self._log_alpha_bar[knot], self._log_alpha_bar[knot + 1], place - knot)
        return torch.exp(log_alpha_bar / 2).to(t), torch.sqrt(-torch.expm1(log_alpha_bar)).to(t)

    def time_at(self, log_snr: Tensor) -> Tensor:
        log_alpha_bar = logsigmoid(log_snr.to("cpu", torch.float64))
        knot = (torch.searchsorted(-self._log_alpha_bar, -log_alpha_bar) - 1).clamp(0, self.steps - 1)
        low, high = self._log_alpha_bar[knot], self._log_alpha_bar[knot + 1]
        return ((knot + (log_alpha_bar - low) / (high - low)) / self.steps).clamp(0, 1).to(log_snr)

    def clock(self, t: Tensor) -> Tensor:
        """Returns the index T·t − 1; between two knots, a fraction."""
        return t * self.steps - 1

    @property
    def earliest(self) -> float:
        return 1 / self.steps

    def training_time(self, quantile: Tensor) -> Tensor:
        """Returns a knot for each uniform draw, so that training visits the chain's own steps, all equally often."""
        # A draw close enough to 1 is rounded up to T, which would be clean data.
        return 1 - (quantile * self.steps).floor().clamp(max=self.steps - 1) / self.steps

    def index_to_time(self, index: Tensor) -> Tensor:
        """Returns t = (i + 1)/T in float64 on the CPU: with float32, T·t − 1 would miss the index by 3e-5."""
        return (index.to("cpu", torch.float64) + 1) / self.steps

    def time_to_index(self, t: Tensor) -> Tensor:
        """Returns the nearest index, round(T·t) − 1, int64; −1 is clean data."""
        return torch.round(t * self.steps).long() - 1


def linear(steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> Chain:
    """β grows linearly. Its usual ends suit 1000 steps; fifty of them leave ᾱ at 0.60, far from pure noise.

    Source: Ho, Jain & Abbeel, "Denoising Diffusion Probabilistic Models", 2020, section 4.

    Raises:
        KakusanError: ``steps`` is no whole number of at least 1, or a β leaves (0, 1).
    """
    return Chain(torch.linspace(beta_start, beta_end, _length(steps), dtype=torch.float64))


def quadratic(steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> Chain:
    """√β grows linearly; Stable Diffusion's name for this formula is "scaled_linear".

    Source: the schedule "quad" in the code of Ho, Jain & Abbeel, 2020.

    Raises:
        KakusanError: ``steps`` is no whole number of at least 1, or a β leaves (0, 1).
    """
    if not (beta_start >= 0 and beta_end >= 0):
        raise KakusanError(
            f"every beta must lie strictly between 0 and 1, which {min(beta_start, beta_end):g} does not"
        )
    return Chain(torch.linspace(beta_start**0.5, beta_end**0.5, _length(steps), dtype=torch.float64).square())


def cosine(steps: int = 1000, s: float = 0.008) -> Chain:
    r"""ᾱ falls as a squared cosine, as far as the cap β ≤ 0.999 lets it: the last ᾱ stays above zero.

    .. math:: \bar\alpha(t) = \frac{f(t)}{f(0)}, \qquad f(t) = \cos^2 \frac{\pi (t + s)}{2 (1 + s)}

    Source: Nichol & Dhariwal, "Improved Denoising Diffusion Probabilistic Models", 2021, equation (17).

    Args:
        steps: T.
        s: The offset, from 0 to 1, that keeps the first β from being too small.

    Raises:
        KakusanError: ``steps`` is no whole number of at least 1, or ``s`` leaves [0, 1].
    """
    if not 0 <= s <= 1:
        raise KakusanError(
            f"the offset s of a cosine chain must lie between 0 and 1, not {s:g} (0.008 is the usual one)"
        )
    t = torch.linspace(0, 1, _length(steps) + 1, dtype=torch.float64)
    f = torch.cos(torch.pi / 2 * (t + s) / (1 + s)).square()
    return Chain((1 - f[1:] / f[:-1]).clamp(max=0.999))


def _length(steps: int) -> int:
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 1:
        raise KakusanError(f"a chain needs a whole number of steps, at least 1, not {steps!r}")
    return steps


@dataclass(frozen=True)
class EDM(Schedule):
    r"""The data keep their scale and noise is piled upon them; even steps of t are the paper's ρ = 7 spacing.

    .. math:: \alpha = 1, \qquad \sigma = \sigma_{\max}\, t^7

    Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, equation (5) with
    σ_min = 0, and table 1 for the clock.

    Raises:
        KakusanError: ``sigma_max`` is not positive.
    """

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_max < float("inf"):
            raise KakusanError(f"sigma_max must be positive and finite, not {self.sigma_max:g}")

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), self.sigma_max * t**7

    def time_at(self, log_snr: Tensor) -> Tensor:
        return (torch.exp(-log_snr / 2) / self.sigma_max).pow(1 / 7).clamp(max=1)

    def clock(self, t: Tensor) -> Tensor:
        """Returns ln(σ)/4."""
        return self(t)[1].log() / 4


@dataclass(frozen=True)
class RectifiedFlow(Schedule):
    r"""A straight line from data to noise.

    .. math:: \alpha = 1 - t, \qquad \sigma = t

    Source: Liu, Gong & Liu, "Flow Straight and Fast", 2022, equation (1), with time running from data to noise.
    """

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def time_at(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr / 2)

    def clock(self, t: Tensor) -> Tensor:
        """Returns 1000·t, the scale on which sinusoidal embeddings tell times apart."""
        return 1000 * t
