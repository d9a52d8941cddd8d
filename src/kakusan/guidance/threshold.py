"""Keeping predicted pixels in range. The outermost wrapper: clipping does not commute with guidance."""

from dataclasses import dataclass

from torch import Tensor

from kakusan.denoiser import Denoise, Prediction, expand
from kakusan.errors import KakusanError
from kakusan.schedules import Schedule


@dataclass(frozen=True)
class Clip:
    """Clips x_0 to [−1, 1]; ε follows, so that both still make up x_t.

    Source: Ho, Jain & Abbeel, 2020, whose sampler clips so at every step.
    """

    denoise: Denoise

    @property
    def schedule(self) -> Schedule:
        return self.denoise.schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        prediction = self.denoise(x_t, t)
        return prediction.with_x0(prediction.x0.clamp(-1, 1))


@dataclass(frozen=True)
class DynamicThreshold:
    """Scales an image back into [−1, 1] where a quantile of its |x_0| exceeds 1; ε follows.

    High guidance saturates images that are clipped; these keep their contrast instead.

    Source: Saharia et al., "Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding", 2022,
    section 2.3.

    Args:
        denoise: What predicts.
        quantile: Which quantile of an image's |x_0| is brought to 1.

    Raises:
        KakusanError: ``quantile`` leaves (0, 1].
    """

    denoise: Denoise
    quantile: float = 0.995

    def __post_init__(self) -> None:
        if not 0 < self.quantile <= 1:
            raise KakusanError(f"the quantile of dynamic thresholding must lie in (0, 1], not {self.quantile:g}")

    @property
    def schedule(self) -> Schedule:
        return self.denoise.schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        prediction = self.denoise(x_t, t)
        size = prediction.x0.flatten(1).abs().float().quantile(self.quantile, dim=1).clamp(min=1)
        limit = expand(size, prediction.x0)
        return prediction.with_x0(prediction.x0.clamp(-limit, limit) / limit)
