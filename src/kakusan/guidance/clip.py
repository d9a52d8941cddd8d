"""Guidance by CLIP: the gradient of how well the predicted picture agrees with a caption leads a model without text."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kakusan.denoiser import Denoise, Prediction, expand
from kakusan.schedules import Schedule

_LEAST = 0.1


@dataclass(frozen=True)
class CLIPGuidance:
    r"""A denoiser whose predictions are led to where a score of the clean picture grows.

    .. math:: \hat\varepsilon = \varepsilon - s\, \sigma\, \nabla_{x_t} \mathrm{score}(\hat{x}_0(x_t))

    and x̂_0 follows, so that both still make up x_t: as if s·score were the logarithm of a probability. The gradient
    goes through the denoiser. Where α is below 0.1, it counts as 0.1: there an exact denoiser hardly heeds x_t, and a
    learned one more than it should, which divided by α would become anything.

    Args:
        denoise: What predicts.
        score: From predicted clean images, shape (B, *), to a number each, shape (B,): how well a picture, or what is
            decoded from latents, agrees with its caption.
        scale: s.

    Source: Dhariwal & Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021, algorithm 2, with CLIP in the
    classifier's place as in Nichol et al., "GLIDE", 2021, section 2.4.
    """

    denoise: Denoise
    score: Callable[[Tensor], Tensor]
    scale: float

    @property
    def schedule(self) -> Schedule:
        return self.denoise.schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        if self.scale == 0:
            return self.denoise(x_t, t)
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            found = self.denoise(x, t)
            (uphill,) = torch.autograd.grad(self.score(found.x0).sum(), x)
        reach = expand(found.sigma.square() / found.alpha.clamp(min=_LEAST), x_t)
        plain = replace(found, x_t=x_t, x0=found.x0.detach(), epsilon=found.epsilon.detach())
        return plain.with_x0(plain.x0 + self.scale * reach * uphill)
