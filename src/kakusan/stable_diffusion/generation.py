"""Images of what a pipeline is told, each from noise of its own seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kakusan import seeds
from kakusan.errors import KakusanError
from kakusan.interop.loading import quietly
from kakusan.sampling import Progress, require_count
from kakusan.stable_diffusion.pipelines import TextToImage

BATCH = 16


@dataclass(frozen=True, eq=False)
class Generation:
    """What is to be drawn; :func:`asked` makes it.

    Attributes:
        model: By what.
        prompts: They repeat in turn.
        n: How many images.
        negative: What guidance leads away from, in words; None: from nothing said.
        steps, guidance: How.
        eta: Randomness of the walk, where the scheduler is DDIM's; others heed it not.
        seed: Image i's noise follows from this and i.
        batch: Images drawn at a time.
    """

    model: TextToImage
    prompts: tuple[str, ...]
    n: int
    negative: str | None
    steps: int
    guidance: float
    eta: float
    seed: int
    batch: int

    def remarks(self) -> list[str]:
        """Returns what is to be said of the prompts before anything is drawn."""
        return self.model.words.remarks_on(*self.prompts, *([self.negative] if self.negative else []))

    def chunks(self, progress: Progress | None = None) -> Iterator[tuple[range, Tensor]]:
        """Yields images as they are done, and which they are: (B, 3, H, W), in [−1, 1], on the CPU."""
        for start in range(0, self.n, self.batch):
            images = range(start, min(self.n, start + self.batch))
            yield images, self._drawn(images, progress)

    def _drawn(self, images: range, progress: Progress | None) -> Tensor:
        pipe, total = self.model.pipe, self.steps * self.n

        def done(_: object, step: int, __: object, kept: dict[str, Tensor]) -> dict[str, Tensor]:
            if progress is not None:
                progress(images.start * self.steps + (step + 1) * len(images), total)
            return kept

        # In float32 on the CPU whatever the device, so that a seed means the same picture everywhere.
        noise = seeds.ImageNoise(self.seed, images)
        begun = noise(torch.empty(len(images), *self.model.latent_shape))
        with quietly():
            found = pipe(
                [self.prompts[i % len(self.prompts)] for i in images],
                negative_prompt=None if self.negative is None else [self.negative] * len(images),
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                eta=self.eta,
                generator=noise.generators,
                latents=begun.to(pipe.device, pipe.dtype),
                output_type="pt",
                callback_on_step_end=done,
            )
        pictures: Tensor = found.images
        return pictures.float().cpu() * 2 - 1


def asked(
    model: TextToImage,
    prompts: str | Sequence[str],
    *,
    n: int,
    negative: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    eta: float | None = None,
    seed: int = 0,
    batch: int = BATCH,
) -> Generation:
    """Checks what is asked for, and returns it.

    Args:
        model: By what.
        prompts: One, or several that repeat in turn.
        n, negative, seed, batch: As of :class:`Generation`.
        steps, guidance, eta: None: as the model says itself.

    Raises:
        KakusanError: A number is out of its range, or nothing is asked for; nothing was computed.
    """
    require_count(n, seed)
    prompts = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    if not prompts:
        raise KakusanError("nothing is asked for: give a prompt, which says in words what to draw")
    steps = model.steps if steps is None else steps
    guidance = model.guidance if guidance is None else guidance
    eta = model.eta if eta is None else eta
    most = model.pipe.scheduler.config["num_train_timesteps"]
    if not 1 <= steps <= most:
        raise KakusanError(f"steps must be between 1 and {most} for {model.name}, not {steps} ({model.steps} is usual)")
    if not 1 <= guidance < math.inf:
        raise KakusanError(
            f"guidance must be 1, which is plainly conditional, or more, not {guidance:g} ({model.guidance:g} is usual)"
        )
    if not 0 <= eta <= 1:
        raise KakusanError(
            f"eta must lie between 0, which is no noise on the way, and 1, not {eta:g} ({model.eta:g} is usual)"
        )
    if batch < 1:
        raise KakusanError(f"batch must be at least 1 image, not {batch}")
    if negative is not None and guidance == 1:
        raise KakusanError("guidance leads away from a negative, and at 1 there is none (use guidance 3, say)")
    return Generation(model, prompts, n, negative, steps, guidance, eta, seed, batch)


def generated(generation: Generation, progress: Progress | None = None) -> Tensor:
    """Returns all images of a generation: (n, 3, H, W), in [−1, 1], on the CPU."""
    return torch.cat([images for _, images in generation.chunks(progress)])
