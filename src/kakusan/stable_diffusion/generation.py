"""Images of what a pipeline is told, each from noise of its own seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kakusan import seeds
from kakusan.errors import KakusanError
from kakusan.interop.loading import quietly
from kakusan.sampling import Progress, require_count
from kakusan.stable_diffusion.editing import Edit
from kakusan.stable_diffusion.pipelines import TextToImage
from kakusan.stable_diffusion.schedulers import eta_of, require_scheduler, scheduler_of
from kakusan.stable_diffusion.sizes import multiple_of, require_side

BATCH = 16


@dataclass(frozen=True, eq=False)
class Generation:
    """What is to be drawn; :func:`asked` makes it.

    Attributes:
        model: By what.
        pipe: That of diffusers which draws, of the model's parts.
        scheduler: What walks it, by its short name; None: the model's own.
        prompts: They repeat in turn.
        n: How many images.
        negative: What guidance leads away from, in words; None: from nothing said.
        steps, guidance: How.
        eta: Randomness of the walk; None where the scheduler heeds none.
        height, width: Of the images, in pixels.
        edit: From what they begin; None: from noise alone.
        seed: Image i's noise follows from this and i.
        batch: Images drawn at a time.
    """

    model: TextToImage
    pipe: Any
    scheduler: str | None
    prompts: tuple[str, ...]
    n: int
    negative: str | None
    steps: int
    guidance: float
    eta: float | None
    height: int
    width: int
    edit: Edit | None
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
        pipe = self.pipe

        def done(_: object, step: int, __: object, kept: dict[str, Tensor]) -> dict[str, Tensor]:
            if progress is not None:
                # Not always as many as were asked for: Heun's asks twice.
                steps = pipe.num_timesteps
                progress(images.start * steps + (step + 1) * len(images), steps * self.n)
            return kept

        # In float32 on the CPU whatever the device, so that a seed means the same picture everywhere.
        noise = seeds.ImageNoise(self.seed, images)
        with quietly():
            found = pipe(
                [self.prompts[i % len(self.prompts)] for i in images],
                negative_prompt=None if self.negative is None else [self.negative] * len(images),
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                eta=self.eta or 0.0,
                generator=noise.generators,
                **self._begun(noise, len(images)),
                output_type="pt",
                callback_on_step_end=done,
            )
        pictures: Tensor = found.images
        drawn = pictures.float().cpu() * 2 - 1
        return drawn if self.edit is None else self.edit.kept(drawn)

    def _begun(self, noise: seeds.ImageNoise, count: int) -> dict[str, Any]:
        """Returns what so many images begin from."""
        size, factor = {"height": self.height, "width": self.width}, self.pipe.vae_scale_factor
        if self.edit is None:
            shape = (self.model.latent_shape[0], self.height // factor, self.width // factor)
            return size | {"latents": noise(torch.empty(count, *shape)).to(self.pipe.device, self.pipe.dtype)}
        begun = {"image": self.edit.begun(count), "strength": self.edit.strength}
        return begun if self.edit.mask is None else size | begun | {"mask_image": self.edit.redrawn(factor)}


def asked(
    model: TextToImage,
    prompts: str | Sequence[str],
    *,
    n: int,
    negative: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    eta: float | None = None,
    scheduler: str | None = None,
    height: int | None = None,
    width: int | None = None,
    edit: Edit | None = None,
    seed: int = 0,
    batch: int = BATCH,
) -> Generation:
    """Checks what is asked for, and returns it.

    Args:
        model: By what.
        prompts: One, or several that repeat in turn.
        n, negative, seed, batch: As of :class:`Generation`.
        steps, guidance, eta, height, width: None: as the model says itself.
        edit: From what they begin, whose size is theirs; None: from noise alone.
        scheduler: What walks, of :data:`kakusan.config.names.SCHEDULERS`; None: the model's own.

    Raises:
        KakusanError: A number is out of its range, or nothing is asked for; nothing was computed.
    """
    require_count(n, seed)
    require(scheduler=scheduler, eta=eta, height=height, width=width, edit=edit)
    prompts = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    if not prompts:
        raise KakusanError("nothing is asked for: give a prompt, which says in words what to draw")
    steps = model.steps if steps is None else steps
    guidance = model.guidance if guidance is None else guidance
    most = model.pipe.scheduler.config["num_train_timesteps"]
    if not 1 <= steps <= most:
        raise KakusanError(f"steps must be between 1 and {most} for {model.name}, not {steps} ({model.steps} is usual)")
    if not 1 <= guidance < math.inf:
        raise KakusanError(
            f"guidance must be 1, which is plainly conditional, or more, not {guidance:g} ({model.guidance:g} is usual)"
        )
    if batch < 1:
        raise KakusanError(f"batch must be at least 1 image, not {batch}")
    if negative is not None and guidance == 1:
        raise KakusanError("guidance leads away from a negative, and at 1 there is none (use guidance 3, say)")
    if edit is not None and int(steps * edit.strength) < 1:
        raise KakusanError(
            f"strength {edit.strength:g} leaves none of {steps} steps to walk (use {1 / steps:.2g} or more)"
        )
    pipe = _pipe(model, scheduler, edit)
    eta = eta_of(pipe.scheduler, eta, model.eta)
    _, *usual = model.latent_shape
    height, width = (height, width) if edit is None else edit.size
    height, width = (given or side * pipe.vae_scale_factor for given, side in zip((height, width), usual, strict=True))
    for name, side in (("height", height), ("width", width)):
        require_side(name, side, multiple_of(pipe.vae_scale_factor))
    return Generation(
        model, pipe, scheduler, prompts, n, negative, steps, guidance, eta, height, width, edit, seed, batch
    )


def require(
    *, scheduler: str | None, eta: float | None, height: int | None, width: int | None, edit: Edit | None
) -> None:
    """Refuses what no pipeline draws, before any is loaded; of :func:`asked`.

    Raises:
        KakusanError: There is no such scheduler, it heeds no ``eta``, a side is of a length that never fits, or
            is given beside a picture that has one.
    """
    require_scheduler(scheduler, eta)
    for name, side in (("height", height), ("width", width)):
        if side is None:
            continue
        require_side(name, side)
        if edit is not None:
            raise KakusanError(
                f"{name} {side} is not asked for beside {edit.init.path}, whose size stays (leave it out)"
            )


def _pipe(model: TextToImage, scheduler: str | None, edit: Edit | None) -> Any:
    """Returns a pipeline of a model's parts that begins from what is to be edited, with a scheduler of its own."""
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline

    pipe = model.pipe
    kind: Any = type(pipe)
    if edit is not None:
        kind = StableDiffusionImg2ImgPipeline if edit.mask is None else StableDiffusionInpaintPipeline
    with quietly():
        parts = {**pipe.components, "scheduler": scheduler_of(pipe.scheduler, scheduler, model.name)}
        made = kind(**parts, requires_safety_checker=pipe.config["requires_safety_checker"])
    made.set_progress_bar_config(disable=True)
    return made


def generated(generation: Generation, progress: Progress | None = None) -> Tensor:
    """Returns all images of a generation: (n, 3, H, W), in [−1, 1], on the CPU."""
    return torch.cat([images for _, images in generation.chunks(progress)])
