"""Distances between two sets of features."""

import torch
from torch import Tensor

from kakusan.errors import KakusanError


def frechet_distance(a: Tensor, b: Tensor) -> float:
    r"""Returns the Fréchet distance of two Gaussians with the mean and covariance of two sets of features.

    .. math:: d = \lVert \mu_a - \mu_b \rVert^2 + \operatorname{tr}(C_a + C_b - 2 (C_a C_b)^{1/2})

    It depends on how many features there are, strongly where they are few: compare at equal numbers only.

    Args:
        a: Features, shape (N, D).
        b: Features, shape (M, D).

    Raises:
        KakusanError: A set has fewer than two features, or they differ in length.

    Source: Dowson & Landau, "The Fréchet Distance between Multivariate Normal Distributions", 1982.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise KakusanError(
            f"a Fréchet distance needs two sets of at least 2 features of one length, not {tuple(a.shape)} and "
            f"{tuple(b.shape)}"
        )
    a, b = a.double().cpu(), b.double().cpu()
    covariance_a, covariance_b = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)
    # tr (C_a C_b)^½ is the sum of singular values of C_a^½ C_b^½: real and never negative, where a general square root
    # of the product leaves rounding errors as imaginary parts.
    cross = torch.linalg.svdvals(_root(covariance_a) @ _root(covariance_b)).sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * cross
    return max(0.0, float(distance))


def _root(covariance: Tensor) -> Tensor:
    """Returns the symmetric square root of a covariance matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
