"""Classifier-free guidance: what the condition adds to the unconditional prediction, taken w times.

Ho & Salimans, "Classifier-Free Diffusion Guidance", 2022, equation (6), with their w + 1 for the w of today's usage.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kakusan.condition import Condition
from kakusan.denoiser import Denoiser, Prediction
from kakusan.errors import KakusanError
from kakusan.schedules import Schedule


@dataclass(frozen=True)
class ClassifierFree:
    r"""A denoiser under guidance.

    .. math:: \hat\varepsilon = \varepsilon_\emptyset + w\, (\varepsilon_c - \varepsilon_\emptyset)

    and x̂_0 likewise. w = 0 is the unconditional model, w = 1 the plain conditional one, w > 1 extrapolates. Both
    predictions come from one call on a doubled batch; at w = 0 and w = 1 only the one that counts is computed.

    Args:
        denoiser: A model trained with dropped conditions.
        condition: One entry an image.
        scale: w.
        unconditional: What stands for ∅, one entry an image; the null condition, unless given.

    Raises:
        KakusanError: ``unconditional`` has not one entry an image.
    """

    denoiser: Denoiser
    condition: Condition
    scale: float
    unconditional: Condition | None = None

    def __post_init__(self) -> None:
        if self.unconditional is not None and len(self.unconditional) != len(self.condition):
            raise KakusanError(
                f"{len(self.condition)} conditions need {len(self.condition)} unconditional ones beside them, "
                f"not {len(self.unconditional)} (give one an image, or leave them out)"
            )

    @property
    def schedule(self) -> Schedule:
        return self.denoiser.schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        if self.scale == 1:
            return self.denoiser(x_t, t, self.condition)
        unconditional = self.condition.null() if self.unconditional is None else self.unconditional
        if self.scale == 0:
            return self.denoiser(x_t, t, unconditional)

        double = self.denoiser(
            torch.cat([x_t, x_t]),
            t if t.ndim == 0 else torch.cat([t, t]),
            Condition.cat([unconditional, self.condition]),
        )
        alpha, sigma = self.schedule(t)
        (x0, x0_c), (epsilon, epsilon_c) = double.x0.chunk(2), double.epsilon.chunk(2)
        without = Prediction(x_t, x0, alpha, sigma, epsilon)
        return without.towards(Prediction(x_t, x0_c, alpha, sigma, epsilon_c), self.scale)
