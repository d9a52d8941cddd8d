"""Images of what a pipeline is told, each from noise of its own seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kakusan import seeds
from kakusan.errors import KakusanError
from kakusan.interop.loading import quietly
from kakusan.sampling import Progress
from kakusan.stable_diffusion.editing import Edit
from kakusan.stable_diffusion.pipelines import TextToImage
from kakusan.stable_diffusion.request import Request
from kakusan.stable_diffusion.schedulers import eta_of, scheduler_of
from kakusan.stable_diffusion.sizes import multiple_of, require_side

_SILENT = "a prompt is empty: pictures of it are of anything"


@dataclass(frozen=True, eq=False)
class Generation:
    """What is to be drawn; :func:`asked` makes it.

    Attributes:
        model: By what.
        pipe: That of diffusers which draws, of the model's parts.
        request: What was asked for.
        steps, guidance: How.
        eta: Randomness of the walk; None where the scheduler heeds none.
        height, width: Of the images, in pixels.
    """

    model: TextToImage
    pipe: Any
    request: Request
    steps: int
    guidance: float
    eta: float | None
    height: int
    width: int

    def remarks(self) -> list[str]:
        """Returns what is to be said of the prompts before anything is drawn."""
        asked = self.request
        said = [it for it in (*asked.prompts, asked.negative or "") if it.strip()]
        silent = any(not it.strip() for it in asked.prompts)
        return [*([_SILENT] if silent else []), *self.model.words.remarks_on(*said)]

    def chunks(self, progress: Progress | None = None) -> Iterator[tuple[range, Tensor]]:
        """Yields images as they are done, and which they are: (B, 3, H, W), in [−1, 1], on the CPU."""
        n, batch = self.request.n, self.request.batch
        for start in range(0, n, batch):
            images = range(start, min(n, start + batch))
            yield images, self._drawn(images, progress)

    def _drawn(self, images: range, progress: Progress | None) -> Tensor:
        pipe, asked = self.pipe, self.request

        def done(_: object, step: int, __: object, kept: dict[str, Tensor]) -> dict[str, Tensor]:
            if progress is not None:
                # Not always as many as were asked for: Heun's asks twice.
                steps = pipe.num_timesteps
                progress(images.start * steps + (step + 1) * len(images), steps * asked.n)
            return kept

        # In float32 on the CPU whatever the device, so that a seed means the same picture everywhere.
        noise = seeds.ImageNoise(asked.seed, images)
        with quietly():
            found = pipe(
                [asked.prompts[i % len(asked.prompts)] for i in images],
                negative_prompt=None if asked.negative is None else [asked.negative] * len(images),
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
        return drawn if asked.edit is None else asked.edit.kept(drawn)

    def _begun(self, noise: seeds.ImageNoise, count: int) -> dict[str, Any]:
        """Returns what so many images begin from."""
        size, factor = {"height": self.height, "width": self.width}, self.pipe.vae_scale_factor
        edit = self.request.edit
        if edit is None:
            shape = (self.model.latent_shape[0], self.height // factor, self.width // factor)
            return size | {"latents": noise(torch.empty(count, *shape)).to(self.pipe.device, self.pipe.dtype)}
        begun = {"image": edit.begun(count), "strength": edit.strength}
        return begun if edit.mask is None else size | begun | {"mask_image": edit.redrawn(factor)}


def asked(model: TextToImage, request: Request) -> Generation:
    """Returns what is to be drawn, once it is certain that the model can.

    Raises:
        KakusanError: It cannot; nothing was computed.
    """
    steps = model.steps if request.steps is None else request.steps
    guidance = model.guidance if request.guidance is None else request.guidance
    edit = request.edit
    most = model.pipe.scheduler.config["num_train_timesteps"]
    if steps > most:
        raise KakusanError(f"steps must be at most {most} for {model.name}, not {steps} ({model.steps} is usual)")
    if request.negative is not None and guidance == 1:
        raise KakusanError(
            f"guidance leads away from a negative, and {model.name} draws with none (use guidance 3, say)"
        )
    if edit is not None and int(steps * edit.strength) < 1:
        raise KakusanError(
            f"strength {edit.strength:g} leaves none of {steps} steps to walk (use {1 / steps:.2g} or more)"
        )
    pipe = _pipe(model, request.scheduler, edit)
    eta = eta_of(pipe.scheduler, request.eta, model.eta)
    _, *usual = model.latent_shape
    sides = (request.height, request.width) if edit is None else edit.size
    height, width = (side or own * pipe.vae_scale_factor for side, own in zip(sides, usual, strict=True))
    for name, side in (("height", height), ("width", width)):
        require_side(name, side, multiple_of(pipe.vae_scale_factor))
    return Generation(model, pipe, request, steps, guidance, eta, height, width)


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
