"""Images of what a pipeline is told, each from noise of its own seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from kakusan import seeds
from kakusan.errors import KakusanError
from kakusan.interop.loading import quietly
from kakusan.sampling import Progress
from kakusan.stable_diffusion.editing import Edit
from kakusan.stable_diffusion.emphasis import plain
from kakusan.stable_diffusion.encoding import Prompts, parts_of
from kakusan.stable_diffusion.kinds import Beginning, pipeline_class
from kakusan.stable_diffusion.pipelines import TextToImage, fitting
from kakusan.stable_diffusion.request import Request
from kakusan.stable_diffusion.schedulers import eta_of, scheduler_of
from kakusan.stable_diffusion.sizes import multiple_of, require_side

REFINED_FROM = 0.8
"""Share of the walk after which SDXL's refiner takes over."""
_SILENT = "a prompt is empty: pictures of it are of anything"
_LEAST_REFINED = 5  # steps, so that both have some


@dataclass(frozen=True, eq=False)
class Generation:
    """What is to be drawn; :func:`asked` makes it.

    Attributes:
        model: By what.
        pipe: That of diffusers which draws, of the model's parts.
        refiner: That which draws the last steps; None where there is none.
        request: What was asked for.
        steps, guidance: How.
        eta: Randomness of the walk; None where the scheduler heeds none.
        height, width: Of the images, in pixels.
        blackened: Images that the model's safety checker has made black, of those that are drawn.
    """

    model: TextToImage
    pipe: Any
    refiner: Any
    request: Request
    steps: int
    guidance: float
    eta: float | None
    height: int
    width: int
    blackened: list[int] = field(default_factory=list)

    def remarks(self) -> list[str]:
        """Returns what is to be said of the prompts before anything is drawn."""
        asked = self.request
        said = [it for it in (*asked.prompts, asked.negative or "") if it.strip()]
        silent = any(not it.strip() for it in asked.prompts)
        parts = {it: parts_of(self.pipe, it) for it in said}
        long = [
            f"longer than the text encoder reads at once, and read in {count} parts: {it[:80]!r}"
            for it, count in parts.items()
            if count > 1
        ]
        strange = [f"the refiner does not know {it.word}" for it in self.model.embeddings if self.refiner is not None]
        return [
            *([_SILENT] if silent else []),
            *strange,
            *self.model.words.remarks_on_words(*map(self._untaught, said)),
            *long,
        ]

    def chunks(self, progress: Progress | None = None) -> Iterator[tuple[range, Tensor]]:
        """Yields images as they are done, and which they are: (B, 3, H, W), in [−1, 1], on the CPU.

        Raises:
            KakusanError: Memory does not suffice; what spares some is said.
        """
        n, batch = self.request.n, self.request.batch
        for start in range(0, n, batch):
            images = range(start, min(n, start + batch))
            with fitting(self.model.name):
                drawn = self._drawn(images, progress)
            yield images, drawn

    def _drawn(self, images: range, progress: Progress | None) -> Tensor:
        asked, done = self.request, 0

        def step_done(pipe: Any, _: int, __: object, kept: dict[str, Tensor]) -> dict[str, Tensor]:
            nonlocal done
            done += 1
            if progress is not None:
                # Not always as many as were asked for: Heun's asks twice.
                steps = pipe.num_timesteps if self.refiner is None else max(self.steps, done)
                progress(images.start * steps + done * len(images), steps * asked.n)
            return kept

        # In float32 on the CPU whatever the device, so that a seed means the same picture everywhere.
        noise = seeds.ImageNoise(asked.seed, images)
        how = {
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "eta": self.eta or 0.0,
            "generator": noise.generators,
            "callback_on_step_end": step_done,
        }
        told = self._prompts[0].of(images) | self._begun(noise, len(images))
        with quietly():
            if self.refiner is None:
                found = self.pipe(**told, **how, output_type="pt")
            else:
                latents = self.pipe(**told, **how, output_type="latent", denoising_end=REFINED_FROM).images
                told = self._prompts[1].of(images) | {"image": latents, "denoising_start": REFINED_FROM}
                found = self.refiner(**told, **how, output_type="pt")
        flagged = getattr(found, "nsfw_content_detected", None) or []
        self.blackened.extend(image for image, black in zip(images, flagged, strict=False) if black)
        pictures: Tensor = found.images
        drawn = pictures.float().cpu() * 2 - 1
        if not drawn.isfinite().all():
            raise KakusanError(
                f"{self.model.name} draws what is no number, as numbers overflow in {self.pipe.dtype} (use --dtype "
                "bfloat16, or float32)"
            )
        return drawn if asked.edit is None else asked.edit.kept(drawn)

    @cached_property
    def _prompts(self) -> list[Prompts]:
        """What the pipeline is told, and its refiner."""
        pipes = [it for it in (self.pipe, self.refiner) if it is not None]
        return [Prompts(it, self.request.prompts, self.request.negative) for it in pipes]

    def _begun(self, noise: seeds.ImageNoise, count: int) -> dict[str, Any]:
        """Returns what so many images begin from, and by what they are led."""
        size, factor = {"height": self.height, "width": self.width}, self.pipe.vae_scale_factor
        edit = self.request.edit
        if edit is None:
            shape = (self.model.latent_shape[0], self.height // factor, self.width // factor)
            begun: dict[str, Any] = size | {"latents": noise(torch.empty(count, *shape)).to(self.pipe.dtype)}
        else:
            begun = {"image": edit.begun(count), "strength": edit.strength}
            if edit.mask is not None:
                begun |= size | {"mask_image": edit.redrawn(factor)}
        return begun | self._led(count, "image" if edit is None else "control_image")

    def _led(self, count: int, name: str) -> dict[str, Any]:
        """Returns what ControlNets are told."""
        if not self.request.controls:
            return {}
        seen = [it.beside(count) for it in self.request.controls]
        weights = [it.weight for it in self.model.controlnets]
        one = len(seen) == 1
        return {name: seen[0] if one else seen, "controlnet_conditioning_scale": weights[0] if one else weights}

    def _untaught(self, prompt: str) -> str:
        """Returns a prompt without brackets, and without the words that the model was taught beside its own."""
        text = plain(prompt)
        for it in self.model.embeddings:
            text = text.replace(it.word or "", " ")
        return text


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
    _require_beginning(model, request)
    if len(request.controls) != len(model.controlnets):
        raise KakusanError(
            f"{model.name} is led by {len(model.controlnets)} ControlNets, and {len(request.controls)} pictures are "
            "given (give a --control-image for each --control)"
        )
    if model.refiner is not None and steps < _LEAST_REFINED:
        raise KakusanError(f"steps must be at least {_LEAST_REFINED} with a refiner, not {steps} (40 is usual)")
    if model.refiner is not None and edit is not None:
        _require_refinable(edit, steps)
    pipe = _pipe(model, request, "" if edit is None else "Img2Img" if edit.mask is None else "Inpaint")
    refiner = None if model.refiner is None else _pipe(model.refiner, request, "Img2Img")
    if refiner is not None and "denoising_end" not in signature(pipe.__call__).parameters:
        raise KakusanError(
            f"{type(pipe).__name__} of diffusers walks to the end, and leaves nothing to a refiner (leave out "
            "--refiner, or --control, or --init)"
        )
    eta = eta_of(pipe.scheduler, request.eta, model.eta)
    _, *usual = model.latent_shape
    height, width = (side or own * pipe.vae_scale_factor for side, own in zip(request.size, usual, strict=True))
    for name, side in (("height", height), ("width", width)):
        require_side(name, side, multiple_of(pipe.vae_scale_factor))
    generation = Generation(model, pipe, refiner, request, steps, guidance, eta, height, width)
    if model.memory.offload == "sequential" and not all(it.whole for it in generation._prompts):
        raise KakusanError(
            "weighted and long prompts are read at once, which --offload sequential does not allow (use --offload "
            "model, or plain prompts that fit)"
        )
    return generation


def _require_refinable(edit: Edit, steps: int) -> None:
    """Refuses what leaves a refiner latents with other noise than it expects."""
    if edit.mask is not None:
        raise KakusanError("a refiner redraws all of a picture, and --mask a part (leave one of them out)")
    if edit.strength <= 1 - REFINED_FROM + 1 / steps:
        raise KakusanError(
            f"strength {edit.strength:g} begins where the refiner takes over (use more than "
            f"{1 - REFINED_FROM + 1 / steps:.2g}, or leave --refiner out)"
        )


def _require_beginning(model: TextToImage, request: Request) -> None:
    """Refuses to draw from noise with a pipeline that draws from pictures only."""
    edit = request.edit
    if edit is None and model.refines:
        raise KakusanError(
            f"{model.name} is SDXL's refiner, which draws from a picture (give --init FILE, or --refiner beside SDXL)"
        )
    if model.inpaints and (edit is None or edit.mask is None):
        raise KakusanError(
            f"{model.name} was trained to fill what a mask leaves open: its U-Net takes "
            f"{model.pipe.unet.config['in_channels']} channels (give --init FILE and --mask FILE)"
        )


def _pipe(model: TextToImage, request: Request, beginning: Beginning) -> Any:
    """Returns a pipeline of a model's parts that begins from what is asked for, with a scheduler of its own."""
    pipe, controls = model.pipe, [it.module for it in model.controlnets]
    kind = pipeline_class(model.family, beginning, bool(controls))
    parts = {**pipe.config, **pipe.components}
    parts["scheduler"] = scheduler_of(pipe.scheduler, request.scheduler, model.name)
    parts["controlnet"] = controls[0] if len(controls) == 1 else controls
    with quietly():
        made = kind(**{name: parts[name] for name in signature(kind.__init__).parameters if name in parts})
        model.memory.place(made, model.device)
    made.set_progress_bar_config(disable=True)
    return made


def generated(generation: Generation, progress: Progress | None = None) -> Tensor:
    """Returns all images of a generation: (n, 3, H, W), in [−1, 1], on the CPU."""
    return torch.cat([images for _, images in generation.chunks(progress)])
