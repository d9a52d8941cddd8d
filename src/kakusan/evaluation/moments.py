"""Mean and covariance of features, gathered in blocks that merge exactly, and the distance of two such Gaussians."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kakusan.errors import KakusanError


@dataclass(frozen=True, eq=False)
class Moments:
    r"""The first two moments of features, float64.

    The second is kept as a root R of the scatter, :math:`\sum_i (x_i - \mu)(x_i - \mu)^T = R^T R`: no product is ever
    formed, so small variances keep their digits, and few features of many dimensions stay few rows.

    Attributes:
        n: How many features there were.
        mean: μ, shape (D,).
        root: R, shape (r, D), r ≤ 2D.
    """

    n: int
    mean: Tensor
    root: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Returns those of ``features``, shape (N, D), in one pass over blocks.

        Raises:
            KakusanError: There is none, or they are not of shape (N, D).
        """
        if features.ndim != 2 or len(features) == 0:
            raise KakusanError(f"moments are of features of shape (N, D), at least one, not {tuple(features.shape)}")
        total: Moments | None = None
        for block in torch.split(features, max(1, features.shape[1])):
            block = block.double().cpu()
            mean = block.mean(0)
            part = cls(len(block), mean, block - mean)
            total = part if total is None else total + part
        assert total is not None
        return total

    @classmethod
    def from_covariance(cls, n: int, mean: Tensor, covariance: Tensor) -> Moments:
        """Returns those of which ``n``, ``mean``, shape (D,), and ``covariance``, shape (D, D), are known."""
        values, vectors = torch.linalg.eigh(covariance.double())
        root = (vectors * (values.clamp(min=0) * (n - 1)).sqrt()).T
        return cls(n, mean.double(), root)

    @property
    def dimensions(self) -> int:
        """D."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """The unbiased estimate, shape (D, D)."""
        return self.root.T @ self.root / (self.n - 1)

    def __add__(self, other: Moments) -> Moments:
        """Returns those of both sets together (Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for
        Computing Sample Variances", 1979, for roots)."""
        n = self.n + other.n
        apart = (other.mean - self.mean) * math.sqrt(self.n * other.n / n)
        root = torch.cat([self.root, other.root, apart[None]])
        merged = Moments(n, self.mean + (other.mean - self.mean) * (other.n / n), root)
        return merged.short() if len(root) > 2 * self.dimensions else merged

    def short(self) -> Moments:
        """Returns the same with a root of no more rows than features: it takes less room, and distances cost less."""
        if len(self.root) <= self.dimensions:
            return self
        return Moments(self.n, self.mean, torch.linalg.qr(self.root, mode="r").R)


def frechet_distance(a: Moments | Tensor, b: Moments | Tensor) -> float:
    r"""Returns the Fréchet distance of the two Gaussians with the moments of two sets of features.

    .. math:: d = \lVert \mu_a - \mu_b \rVert^2 + \operatorname{tr}(C_a + C_b - 2 (C_a C_b)^{1/2})

    It depends on how many features there are, strongly where they are few: compare at equal numbers only.

    Args:
        a: Moments, or features of shape (N, D).
        b: Moments, or features of shape (M, D).

    Raises:
        KakusanError: A set has fewer than two features, they differ in length, or hold what is no number.

    Source: Dowson & Landau, "The Fréchet Distance between Multivariate Normal Distributions", 1982.
    """
    shapes = [(it.n, it.dimensions) if isinstance(it, Moments) else tuple(it.shape) for it in (a, b)]
    if any(len(shape) != 2 or shape[0] < 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise KakusanError(
            f"a Fréchet distance needs two sets of at least 2 features of one length, not {shapes[0]} and {shapes[1]}"
        )
    a, b = (it if isinstance(it, Moments) else Moments.of(it) for it in (a, b))
    if not (a.root.isfinite().all() and b.root.isfinite().all() and (a.mean - b.mean).isfinite().all()):
        raise KakusanError("the Fréchet distance is no number: features hold NaN or infinite values")
    root_a, root_b = (it.short().root / math.sqrt(it.n - 1) for it in (a, b))
    # tr (C_a C_b)^½ is the sum of singular values of R_a R_bᵀ: real and never negative, where a general square root of
    # the product leaves rounding errors as imaginary parts.
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    distance = (a.mean - b.mean).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * cross
    return max(0.0, float(distance))
