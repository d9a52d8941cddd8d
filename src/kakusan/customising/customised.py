"""A pipeline of which something learns: low-rank matrices, new words, or all of its U-Net."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kakusan import seeds
from kakusan.config import models as config
from kakusan.customising.framing import is_told_of_sizes
from kakusan.customising.painter import Painter, require_drawable
from kakusan.customising.trained import Trained
from kakusan.customising.words import learn_word
from kakusan.denoiser import Denoiser
from kakusan.errors import KakusanError, optional
from kakusan.interop.loading import quietly
from kakusan.interop.wrapped import denoiser_by
from kakusan.networks.autoencoder import Posterior
from kakusan.stable_diffusion import Memory, TextToImage, opened, readers

_TEXT_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj")


@dataclass(frozen=True, eq=False)
class Customised:
    """A pipeline of which something learns.

    Attributes:
        base: The pipeline; what learns is within it.
        network: Its weights that learn.
        denoiser: Through them.
        prompts: What it is told of images, by number; SDXL's stand there once for each size that images had.
        settings: How it learns.
    """

    base: TextToImage = field(repr=False)
    network: Trained
    denoiser: Denoiser
    prompts: tuple[str, ...]
    settings: config.Config = field(repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures that it was trained on."""
        return picture_shape(self.base)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Its prompts, by which a run that goes on is known again."""
        return self.prompts

    @property
    def parameters(self) -> int:
        """How many weights learn."""
        return sum(weight.numel() for weight in self.network.parameters())

    @property
    def all_parameters(self) -> int:
        """How many weights the pipeline draws with, and those that learn beside."""
        parts = [self.base.pipe.components.get(name) for name in ("unet", "vae", "text_encoder", "text_encoder_2")]
        weights = {
            id(it): it.numel() for part in (*parts, self.network) if part is not None for it in part.parameters()
        }
        return sum(weights.values())


def base_of(settings: config.Config, device: str) -> TextToImage:
    """Opens the pipeline of which something shall learn, on a device; in float32 where all of it does.

    Raises:
        KakusanError: There is none, or it is told more than prompts.
    """
    how = settings.network
    assert isinstance(how, config.Customised), "asked for by whoever knows"
    base = opened(how.model, device, Memory("float32" if isinstance(how, config.Whole) else settings.training.dtype))
    require_drawable(base.pipe, base.name)
    return base


def picture_shape(base: TextToImage) -> tuple[int, int, int]:
    """Returns (C, H, W) of the pictures that a pipeline was trained on."""
    _, height, width = base.latent_shape
    factor = base.pipe.vae_scale_factor
    return int(base.pipe.vae.config["out_channels"]), height * factor, width * factor


def customised(
    settings: config.Config, base: TextToImage, prompts: Sequence[str], frames: Tensor | None = None
) -> Customised:
    """Returns a pipeline of which something learns, before it has learned anything; weights are drawn from the seed.

    Args:
        settings: What learns.
        base: What :func:`base_of` returned; it is changed.
        prompts: What it is told of images.
        frames: What SDXL is told of their sizes with each, as :class:`Painter` takes it.

    Raises:
        KakusanError: A layer, a rank or a word that does not fit, or peft is not installed.
    """
    pipe, how = base.pipe, settings.network
    for part in (pipe.unet, pipe.vae, *(encoder for _, encoder in readers(pipe))):
        part.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(settings.training.seed, "weights"))
        _MADE[type(how)](pipe, how, base.name)
    _leave_unread(pipe)
    reading = isinstance(how, config.Embedding) or getattr(how, "text_encoder", False)
    network = Trained(Painter(pipe, prompts, reading, frames))
    return Customised(base, network, denoiser_by(pipe.scheduler, network), tuple(prompts), settings)


def encode(base: TextToImage, images: Tensor) -> Posterior:
    """Returns the distribution of the latents of images, in [−1, 1], shape (N, C, H, W), as the U-Net knows them: their
    deviation is about 1. On the CPU, float32, shape (N, c, h, w)."""
    vae = base.pipe.vae
    scale, shift = float(vae.config["scaling_factor"]), float(vae.config.get("shift_factor") or 0)
    # SDXL's overflows in half precision, and what is encoded once may take its time.
    dtype, mean, log_variance = vae.dtype, [], []
    with quietly(), torch.no_grad():
        vae.to(torch.float32)
        for part in torch.split(images, 1):  # whose memory is more than a step's already where images are large
            found = vae.encode(part.to(vae.device)).latent_dist
            mean.append((found.mean.cpu() - shift) * scale)
            log_variance.append(found.logvar.cpu() + 2 * math.log(scale))
        vae.to(dtype)
    return Posterior(torch.cat(mean), torch.cat(log_variance))


def _lora(pipe: Any, how: config.LoRA, name: str) -> None:
    """Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021."""
    parts = [("network.layers", pipe.unet, how.layers)]
    if how.text_encoder:
        parts += [("network.text_encoder", encoder, _TEXT_LAYERS) for _, encoder in readers(pipe)]
    with optional("LoRA", "diffusers"):
        from peft import LoraConfig
    for field_name, part, endings in parts:
        _require_layers(part, endings, how.rank, field_name, name)
        alpha = how.rank if how.alpha is None else how.alpha
        part.add_adapter(
            LoraConfig(r=how.rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=list(endings))
        )
        for weight in part.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()  # under half precision too: small steps would be rounded away


def _require_layers(part: nn.Module, endings: Sequence[str], rank: int, field_name: str, name: str) -> None:
    """Refuses layers that are not there, and a rank that is no lower than theirs."""
    for ending in endings:
        found = {it: layer for it, layer in part.named_modules() if it == ending or it.endswith(f".{ending}")}
        if not found:
            raise KakusanError(
                f"{field_name}: no layer of {name} has a name that ends with {ending!r} (to_q, to_k, to_v and to_out.0 "
                "are those of its attention)"
            )
        for layer_name, layer in found.items():
            if not isinstance(layer, (nn.Linear, nn.Conv2d)):
                raise KakusanError(
                    f"{field_name}: {layer_name} of {name} is a {type(layer).__name__}, and low-rank matrices stand "
                    "beside linear layers and convolutions alone"
                )
            if rank > (widest := min(layer.weight.shape[:2])):
                raise KakusanError(
                    f"network.rank must be at most {widest}, the width of {layer_name} of {name}, not {rank} "
                    "(4 to 16 is usual)"
                )


def _whole(pipe: Any, how: config.Whole, name: str) -> None:
    pipe.unet.requires_grad_(True)
    if how.text_encoder:
        for _, encoder in readers(pipe):
            encoder.requires_grad_(True)


def _leave_unread(pipe: Any) -> None:
    """Lets nothing learn that no loss reaches: SDXL reads its first text encoder before the last layer."""
    if not is_told_of_sizes(pipe):
        return
    last = f"layers.{pipe.text_encoder.config.num_hidden_layers - 1}."
    for name, weight in pipe.text_encoder.named_parameters():
        if last in name or "final_layer_norm" in name:
            weight.requires_grad_(False)


_MADE: Mapping[type, Callable[[Any, Any, str], None]] = {
    config.LoRA: _lora,
    config.Whole: _whole,
    config.Embedding: learn_word,
}
