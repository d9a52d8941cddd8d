"""Denoisers known in closed form: what a network would predict if it had learned its data perfectly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kakusan.denoiser import Prediction, expand
from kakusan.errors import KakusanError
from kakusan.schedules import Schedule


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    r"""Data x_0 drawn from K equally wide, isotropic Gaussians, and the exact denoiser of them.

    .. math:: p(x_0) = \sum_k w_k\, N(x_0; m_k, c^2 I)

    *Derivation.* Noise turns the k-th Gaussian into another one, x_t ~ N(α·m_k, v·I) with v = α²c² + σ². Given that
    x_0 came from it, x_0 and x_t are jointly normal with covariance αc², so regression gives the mean of x_0. Which
    one it came from, Bayes' rule says. Hence

    .. math:: E[x_0 \mid x_t] = \sum_k r_k \left( m_k + \frac{\alpha c^2}{v} (x_t - \alpha m_k) \right), \qquad
              r_k \propto w_k\, N(x_t; \alpha m_k, v I)

    Source: Bishop, "Pattern Recognition and Machine Learning", 2006, equations (2.116) and (9.13).

    Args:
        means: m, shape (K, D).
        deviation: c, in every direction.
        weights: w, positive, shape (K,); only their ratios count.
        schedule: From time to α and σ.

    Raises:
        KakusanError: The shapes do not fit, or a weight or the deviation is not positive.
    """

    means: Tensor
    deviation: float
    weights: Tensor
    schedule: Schedule

    def __post_init__(self) -> None:
        if self.means.ndim != 2 or 0 in self.means.shape or self.weights.shape != self.means.shape[:1]:
            raise KakusanError(
                "a mixture needs means of shape (K, D) and weights of shape (K,), one a mean, "
                f"not {tuple(self.means.shape)} and {tuple(self.weights.shape)}"
            )
        for name, value in (("weight", self.weights.min().item()), ("deviation", self.deviation)):
            if not value > 0:
                raise KakusanError(f"every {name} of a mixture must be positive, not {value:g}")

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """Returns the exact prediction for ``x_t``, shape (B, D), at times ``t``, shape () or (B,)."""
        means = self.means.to(x_t)
        alpha, variance = self._noised(x_t, t)
        mean = self._log_joint(x_t, t).softmax(1) @ means
        away = (x_t - alpha * mean) / variance
        alpha_t, sigma_t = self.schedule(t)
        # ε is not (x_t − α·x_0)/σ, which near data would be a difference of nearly equal numbers.
        return Prediction(
            x_t, mean + alpha * self.deviation**2 * away, alpha_t, sigma_t, epsilon=expand(sigma_t, x_t) * away
        )

    def log_density(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Returns ln p(x_t), shape (B,), at ``x_t``, shape (B, D), and times ``t``; at t = 0 that of the data."""
        return self._log_joint(x_t, t).logsumexp(1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws ``n`` points of the data, float64 of shape (n, D)."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        return self.means[which].double() + self.deviation * z

    def _noised(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Returns α and v, shaped to multiply ``x_t``."""
        alpha, sigma = self.schedule(t)
        return expand(alpha, x_t), expand(alpha**2 * self.deviation**2 + sigma**2, x_t)

    def _log_joint(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Returns ln p(x_t, k), shape (B, K)."""
        alpha, variance = self._noised(x_t, t)
        distance = (x_t[:, None] - alpha[..., None] * self.means.to(x_t)).square().sum(-1)
        log_shares = (self.weights / self.weights.sum()).log().to(x_t)
        return log_shares - distance / (2 * variance) - x_t.shape[1] / 2 * (2 * torch.pi * variance).log()
