"""To diffusers: whole models, in directories that it loads by itself, and how far what it loads is from the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kakusan import sampling, seeds
from kakusan.condition import NULL_LABEL, Condition
from kakusan.config.models import Sampling
from kakusan.errors import KakusanError, optional
from kakusan.interop.autoencoders import autoencoder_to_diffusers
from kakusan.interop.beside import FILE, Beside
from kakusan.interop.card import card, is_stable_diffusion
from kakusan.interop.diffusers import unet_to_diffusers
from kakusan.interop.schedulers import ddim_config, steps_that_divide
from kakusan.interop.text import CLIP_FOLDER, in_json, write_text_encoder, write_words
from kakusan.model import Model
from kakusan.networks import Captioned, UNet
from kakusan.networks.mode import evaluating
from kakusan.schedules import Chain

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

PARTS = ("unet", "scheduler", "vae", "text_encoder", "tokenizer", CLIP_FOLDER, "model_index.json", FILE, "README.md")
"""What may lie in the directory of a model."""
DTYPES = ("float32", "float16")
"""In which its weights may be written."""

_IMAGES = 2
_CALL, _IMAGE = 1e-5, 1e-3  # what may differ, of a network's call and of an image

Call = Callable[[Tensor, Any], Tensor]
"""Diffusers' network with its conditions bound: from noisy images and a step of the chain to the output."""


@dataclass(frozen=True)
class Difference:
    """How far what was exported is from what it was made from.

    Attributes:
        call: max |a − b| of one call of the network.
        image: That of images of a short walk, nothing clipped; where values go beyond 1, in units of the largest, for
            rounding grows with them.
        steps: Its steps.
    """

    call: float
    image: float
    steps: int


def write_pipeline(model: Model, directory: Path, name: str) -> Difference:
    """Writes a model as diffusers loads it, and compares what comes back.

    Without classes it is a ``DDIMPipeline``; one that reads text in latents is a ``StableDiffusionPipeline``; of others
    the parts are there, and the card's code puts them together.

    Args:
        model: A model of a U-Net and a chain.
        directory: Where to, an empty one.
        name: What a person calls it.

    Raises:
        KakusanError: diffusers is not installed, cannot express it, or what it loads is another model.
    """
    with optional("this", "diffusers"):
        from diffusers import DDIMPipeline, DDIMScheduler
    network, denoiser = model.network, model.denoiser
    text = network.text if isinstance(network, Captioned) else None
    network = network.unet if isinstance(network, Captioned) else network
    if not isinstance(network, UNet):
        raise KakusanError(f"a {type(network).__name__} is no UNet2DModel: only a network of kind unet is exported")
    if text is not None and network.classes is not None:
        raise KakusanError("diffusers has no pipeline of both classes and text: only a network with one is exported")
    usual = "clip" if model.codec is None else "none"
    settings = ddim_config(denoiser.schedule, denoiser.parametrization, model.sampling.threshold or usual)
    scheduler = DDIMScheduler(**settings)
    _, height, width = model.latent_shape
    unet = unet_to_diffusers(network, height if height == width else (height, width))
    if model.codec is None and not model.class_names and text is None:
        DDIMPipeline(unet, scheduler).save_pretrained(directory)
    else:
        unet.save_pretrained(directory / "unet")
        scheduler.save_pretrained(directory / "scheduler")
    if model.codec is not None:
        autoencoder_to_diffusers(model.codec.network, model.shape[1]).save_pretrained(directory / "vae")
    if text is not None and model.words is not None:
        write_text_encoder(text, directory / "text_encoder")
        write_words(model.words, directory / "tokenizer")
        if is_stable_diffusion(model):
            _write_index(directory)
    Beside.of(model).write(directory)
    (directory / "README.md").write_text(card(model, name), encoding="utf-8")
    difference = compare(model, directory)
    for value, most, what in (
        (difference.call, _CALL, "a call of the network"),
        (difference.image, _IMAGE, f"an image of {difference.steps} steps"),
    ):
        if not value <= most:
            raise KakusanError(
                f"what diffusers loads is another model: {what} differs by {value:.1e}, and at most {most:.0e} is "
                "rounding (this is no fault of the run: report it)"
            )
    return difference


def in_half(directory: Path) -> None:
    """Rounds all weights in a directory to half precision; what is said of them stays, so that diffusers and
    transformers compute with them in float32 unless told otherwise, all parts alike."""
    for path in directory.rglob("*.safetensors"):
        weights = {
            name: weight.half() if weight.is_floating_point() else weight for name, weight in load_file(path).items()
        }
        save_file(weights, path, {"format": "pt"})


def _write_index(directory: Path) -> None:
    """Writes what makes a directory of parts a ``StableDiffusionPipeline``."""
    from diffusers import __version__

    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        **{name: [None, None] for name in ("safety_checker", "feature_extractor", "image_encoder")},
    }
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": __version__}
    (directory / "model_index.json").write_text(in_json({**index, **parts, "requires_safety_checker": False}), "utf-8")


@torch.no_grad()
def compare(model: Model, directory: Path) -> Difference:
    """Returns how far a model is from what diffusers loads from a directory, of a condition and of none."""
    from diffusers import AutoencoderKL, DDIMScheduler

    chain, device = model.denoiser.schedule, model.device
    assert isinstance(chain, Chain), "no other process was written"
    scheduler = DDIMScheduler.from_pretrained(directory / "scheduler", clip_sample=False, thresholding=False)
    vae = AutoencoderKL.from_pretrained(directory / "vae").to(device) if model.codec is not None else None
    steps = steps_that_divide(chain)
    how = Sampling(sampler="ddim", steps=steps, grid="trailing", threshold="none", batch=_IMAGES)
    asked = "" if model.words is None or not model.words.examples else model.words.examples[0]
    plan = sampling.plan(
        model,
        n=_IMAGES,
        settings=how,
        labels=[0, NULL_LABEL] if model.class_names else None,
        prompts=[asked, ""] if model.words is not None else None,
    )
    call = _loaded(model, directory, plan.condition, [asked, ""])
    noise = seeds.ImageNoise(plan.seed, range(_IMAGES))(torch.empty(_IMAGES, *model.latent_shape, device=device))
    start = noise * chain(plan.times[0])[1].float()
    with evaluating(model.denoiser):
        clock = torch.full((_IMAGES,), float(chain.steps - 1), device=device)
        condition = None if plan.condition is None else plan.condition.to(device)
        given = (start, clock) if condition is None else (start, clock, condition)
        apart = (model.network(*given) - call(start, chain.steps - 1)).abs().max()
        *_, last = plan.walk(range(_IMAGES))
        # By the network itself, for a codec keeps pixels in their range, where all that lies beyond agrees.
        ours = last.x if model.codec is None else model.codec.network.eval().decode(last.x)
    theirs = _drawn(call, scheduler, vae, start, steps)
    image = (ours - theirs).abs().max() / ours.abs().max().clamp(min=1)
    return Difference(apart.item(), image.item(), steps)


def _loaded(model: Model, directory: Path, condition: Condition | None, prompts: list[str]) -> Call:
    """Returns the network that diffusers loads, with what it is told of classes, or by transformers of prompts."""
    from diffusers import UNet2DConditionModel, UNet2DModel

    device = model.device
    if model.words is None:
        unet = UNet2DModel.from_pretrained(directory / "unet").to(device)
        labels = None if condition is None else condition.labels_or(len(model.class_names)).to(device)
        return lambda x, t: unet(x, t, class_labels=labels).sample
    from transformers import CLIPTextModel, CLIPTokenizer

    reading = UNet2DConditionModel.from_pretrained(directory / "unet").to(device)
    tokenizer = CLIPTokenizer.from_pretrained(directory / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(directory / "text_encoder").to(device)
    longest = tokenizer.model_max_length
    told = tokenizer(prompts, padding="max_length", max_length=longest, truncation=True, return_tensors="pt")
    tokens = encoder(told.input_ids.to(device))[0]
    return lambda x, t: reading(x, t, encoder_hidden_states=tokens).sample


def _drawn(call: Call, scheduler: Any, vae: AutoencoderKL | None, x: Tensor, steps: int) -> Tensor:
    """Returns what plain diffusers draws from noise."""
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        x = scheduler.step(call(x, t), t, x).prev_sample
    images: Tensor = x if vae is None else vae.decode(x / vae.config["scaling_factor"]).sample
    return images
