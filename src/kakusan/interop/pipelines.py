"""To and from diffusers: whole models, in directories that either side loads by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kakusan import sampling, seeds
from kakusan.condition import NULL_LABEL
from kakusan.config.models import Sampling
from kakusan.config.names import HUB
from kakusan.errors import KakusanError, optional, reason_of
from kakusan.files import at_home
from kakusan.interop.autoencoders import autoencoder_to_diffusers
from kakusan.interop.card import card
from kakusan.interop.diffusers import unet_to_diffusers
from kakusan.interop.schedulers import ddim_config, steps_that_divide
from kakusan.model import Model
from kakusan.networks import UNet
from kakusan.networks.mode import evaluating
from kakusan.schedules import Chain

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DModel

_IMAGES = 2
_CALL, _IMAGE = 1e-5, 1e-3  # what may differ, of a network's call and of an image


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
    if not isinstance(network, UNet):
        raise KakusanError(f"a {type(network).__name__} is no UNet2DModel: only a network of kind unet is exported")
    usual = "clip" if model.codec is None else "none"
    settings = ddim_config(denoiser.schedule, denoiser.parametrization, model.sampling.threshold or usual)
    scheduler = DDIMScheduler(**settings)
    _, height, width = model.latent_shape
    unet = unet_to_diffusers(network, height if height == width else (height, width))
    if model.codec is None and not model.class_names:
        DDIMPipeline(unet, scheduler).save_pretrained(directory)
    else:
        unet.save_pretrained(directory / "unet")
        scheduler.save_pretrained(directory / "scheduler")
    if model.codec is not None:
        autoencoder_to_diffusers(model.codec.network, model.shape[1]).save_pretrained(directory / "vae")
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


def compare(model: Model, directory: Path) -> Difference:
    """Returns how far a model is from what diffusers loads from a directory, of a class and of none."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DModel

    chain, device = model.denoiser.schedule, model.device
    assert isinstance(chain, Chain), "no other process was written"
    unet = UNet2DModel.from_pretrained(directory / "unet").to(device)
    scheduler = DDIMScheduler.from_pretrained(directory / "scheduler", clip_sample=False, thresholding=False)
    vae = AutoencoderKL.from_pretrained(directory / "vae").to(device) if model.codec is not None else None
    steps = steps_that_divide(chain)
    how = Sampling(sampler="ddim", steps=steps, grid="trailing", threshold="none", batch=_IMAGES)
    plan = sampling.plan(model, n=_IMAGES, settings=how, labels=[0, NULL_LABEL] if model.class_names else None)
    noise = seeds.ImageNoise(plan.seed, range(_IMAGES))(torch.empty(_IMAGES, *model.latent_shape, device=device))
    start = noise * chain(plan.times[0])[1].float()
    labels = None if plan.labels is None else plan.labels.to(device) % (len(model.class_names) + 1)
    with torch.no_grad(), evaluating(model.denoiser):
        clock = torch.full((_IMAGES,), float(chain.steps - 1), device=device)
        condition = None if plan.condition is None else plan.condition.to(device)
        given = (start, clock) if condition is None else (start, clock, condition)
        call = (model.network(*given) - unet(start, chain.steps - 1, class_labels=labels).sample).abs().max()
        *_, last = plan.walk(range(_IMAGES))
        # By the network itself, for a codec keeps pixels in their range, where all that lies beyond agrees.
        ours = last.x if model.codec is None else model.codec.network.eval().decode(last.x)
    theirs = _drawn(unet, scheduler, vae, start, labels, steps)
    apart = (ours - theirs).abs().max() / ours.abs().max().clamp(min=1)
    return Difference(call.item(), apart.item(), steps)


@torch.no_grad()
def _drawn(
    unet: UNet2DModel, scheduler: Any, vae: AutoencoderKL | None, x: Tensor, labels: Tensor | None, steps: int
) -> Tensor:
    """Returns what plain diffusers draws from noise."""
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        x = scheduler.step(unet(x, t, class_labels=labels).sample, t, x).prev_sample
    images: Tensor = x if vae is None else vae.decode(x / vae.config["scaling_factor"]).sample
    return images


@dataclass(frozen=True)
class Pipeline:
    """What a directory of diffusers, or a repository of the hub, holds.

    Attributes:
        unet: The network.
        scheduler: The configuration of its scheduler.
        vae: The autoencoder; None where it works on pixels.
    """

    unet: UNet2DModel
    scheduler: Mapping[str, Any]
    vae: AutoencoderKL | None = None


def read_pipeline(name: str) -> Pipeline:
    """Returns a pipeline by the path of its directory, or ``"hub:OWNER/NAME"``; its weights must be safetensors.

    Raises:
        KakusanError: diffusers is not installed; there is none, or one with parts that are not known here; or its
            weights are a pickle, which could run code.
    """
    with optional("this", "diffusers"):
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DModel
    place = name.removeprefix(HUB) if name.startswith(HUB) else str(at_home(name))
    if not name.startswith(HUB) and not Path(place).is_dir():
        raise KakusanError(f"there is no directory {name} (check the path; a pipeline of the hub is {HUB}OWNER/NAME)")
    parts = _parts(place)
    if more := sorted(parts - {"unet", "scheduler", "vae"}):
        raise KakusanError(
            f"{name} holds {', '.join(more)}, which is not known here, only a unet, a scheduler and a vae"
        )
    for folder, kind in (("unet", "UNet2DModel"), ("vae", "AutoencoderKL"), ("", "UNet2DModel")):
        _refuse_pickles(Path(place) / folder, kind)
    unet = _part(UNet2DModel.from_pretrained, place, "unet", use_safetensors=True, output_loading_info=True)
    scheduler = _part(DDPMScheduler.load_config, place, "scheduler")
    vae = None
    if "vae" in parts:
        vae = _part(AutoencoderKL.from_pretrained, place, "vae", use_safetensors=True, output_loading_info=True)
    return Pipeline(unet, scheduler, vae)


def _parts(place: str) -> set[str]:
    """Returns what a pipeline says it has; of one without an index, such as ours by class or in latents, the folders
    that there are."""
    from diffusers import DiffusionPipeline

    try:
        index = DiffusionPipeline.load_config(place)
    except (OSError, ValueError):
        return {"unet", "scheduler", *(["vae"] if _has_vae(place) else [])}
    return {name for name, it in index.items() if isinstance(it, (list, tuple)) and it[0] is not None}


def _has_vae(place: str) -> bool:
    from diffusers import AutoencoderKL

    try:
        AutoencoderKL.load_config(place, subfolder="vae")
    except (OSError, ValueError):
        return False
    return True


def _whole(found: Any) -> Any:
    """Refuses a network of which weights were missing, which diffusers draws at random, with no more than a warning."""
    if isinstance(found, tuple) and isinstance(found[1], dict) and found[1].get("missing_keys"):
        raise ValueError(f"{next(iter(found[1]['missing_keys']))} is missing")
    return found[0] if isinstance(found, tuple) and isinstance(found[1], dict) and "missing_keys" in found[1] else found


def _part(load: Any, name: str, folder: str, **options: Any) -> Any:
    """Returns a part of a pipeline from its folder, or where a repository has but one model, from its root."""
    reasons = []
    for place in ({"subfolder": folder}, {}):
        try:
            return _whole(load(name, **place, **options))
        # Of a file, of the hub, of a configuration: its errors have no common class.
        except Exception as error:
            reasons.append(reason_of(error))
    raise KakusanError(
        f"{name} holds no {folder} that diffusers loads: {reasons[0]} (give the directory of a pipeline, or its name)"
    )


def _refuse_pickles(folder: Path, kind: str) -> None:
    pickles, safe = list(folder.glob("*.bin")), list(folder.glob("*.safetensors"))
    if pickles and not safe:
        raise KakusanError(
            f"{pickles[0]} is a pickle, which could run code, and is not read: convert it where you trust it "
            f"({kind}.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r}) writes safetensors)"
        )
