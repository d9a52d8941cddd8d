"""The network of a Stable Diffusion as one module: from a noisy latent and the number of a prompt to its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kakusan.condition import Condition
from kakusan.errors import KakusanError


class Painter(nn.Module):
    """A pipeline's U-Net and text encoders, called as our networks are: ``network(x, clock, condition)``.

    Prompts are classes, as in :func:`kakusan.interop.wrap`: labels choose among them, and −1 is the empty one. As long
    as no text encoder learns, each prompt is read once.

    Args:
        pipe: A ``StableDiffusionPipeline`` or a ``StableDiffusionXLPipeline``.
        prompts: What can be asked for.
        reading: Whether text encoders learn, so that prompts are read anew each time.
        frames: What SDXL is told with each prompt of the size that images had, and of where they were cut, as
            :func:`kakusan.customising.framing.frames_of` returns it, shape (P, 4); None: that they are whole.
    """

    def __init__(self, pipe: Any, prompts: Sequence[str], reading: bool, frames: Tensor | None = None) -> None:
        super().__init__()
        self.unet = pipe.unet
        self.text_encoder = pipe.text_encoder
        if pipe.components.get("text_encoder_2") is not None:
            self.text_encoder_2 = pipe.text_encoder_2
        self._numbers = _read(pipe, (*prompts, ""))
        self._zeros = bool(pipe.config.get("force_zeros_for_empty_prompt"))
        self._factor: int = pipe.vae_scale_factor
        self._frames = frames
        self._kept: tuple[Tensor, Tensor | None] | None = None
        if not reading:
            with torch.no_grad():
                self._kept = self._encoded(slice(None))

    def forward(self, x: Tensor, clock: Tensor, condition: Condition) -> Tensor:
        """Returns the U-Net's sample, shaped like ``x``, (B, C, h, w)."""
        told = condition.labels_or(len(self._numbers[0]) - 1)
        if self._kept is None:
            tokens, pooled = self._encoded(told)
        else:
            kept, whole = self._kept
            tokens, pooled = kept[told], None if whole is None else whole[told]
        added = None if pooled is None else {"text_embeds": pooled, "time_ids": self._sizes(x, condition)}
        sample: Tensor = self.unet(x, clock, encoder_hidden_states=tokens, added_cond_kwargs=added).sample
        return sample

    @property
    def recompute(self) -> bool:
        """Whether the U-Net computes blocks again for the gradient."""
        return bool(self.unet.is_gradient_checkpointing)

    @recompute.setter
    def recompute(self, on: bool) -> None:
        self.unet.enable_gradient_checkpointing() if on else self.unet.disable_gradient_checkpointing()

    def _encoded(self, told: Tensor | slice) -> tuple[Tensor, Tensor | None]:
        """Returns what the text encoders make of prompts by number: (B, L, D) and, of SDXL's, (B, P) for the whole."""
        encoders = [it for it in (self.text_encoder, getattr(self, "text_encoder_2", None)) if it is not None]
        numbers = [it.to(next(self.unet.parameters()).device)[told] for it in self._numbers]
        if len(encoders) == 1:
            return encoders[0](numbers[0])[0], None
        found = [encoder(it, output_hidden_states=True) for encoder, it in zip(encoders, numbers, strict=True)]
        tokens, pooled = torch.cat([it.hidden_states[-2] for it in found], dim=-1), found[-1][0]
        if self._zeros:  # what SDXL's guidance takes for the empty prompt
            silent = (numbers[0] == self._numbers[0][-1].to(numbers[0].device)).all(1)
            tokens, pooled = tokens.masked_fill(silent[:, None, None], 0), pooled.masked_fill(silent[:, None], 0)
        return tokens, pooled

    def _sizes(self, x: Tensor, condition: Condition) -> Tensor:
        """Returns what SDXL is told of sizes: the original one, where it was cropped, and the wanted one; (B, 6)."""
        wanted = torch.tensor([side * self._factor for side in x.shape[-2:]], device=x.device).expand(len(x), -1)
        frames = torch.cat([wanted, torch.zeros_like(wanted)], 1)
        if self._frames is not None:
            told = condition.labels_or(-1).to(x.device)
            frames = torch.where(told[:, None] < 0, frames, self._frames.to(x.device)[told])
        return torch.cat([frames, wanted], 1).to(x.dtype)


def _read(pipe: Any, prompts: Sequence[str]) -> list[Tensor]:
    """Returns prompts by the numbers of their words, int64, (P, L), by every tokenizer."""
    found = []
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer = pipe.components.get(name)
        if tokenizer is None:
            continue
        whole = pipe.maybe_convert_prompt(list(prompts), tokenizer)
        how = {"padding": "max_length", "max_length": tokenizer.model_max_length, "truncation": True}
        found.append(tokenizer(whole, return_tensors="pt", **how).input_ids)
    return found


def require_drawable(pipe: Any, name: str) -> None:
    """Refuses a pipeline whose U-Net is told more than a prompt.

    Raises:
        KakusanError: It is told more, or is SDXL's refiner.
    """
    if pipe.components.get("text_encoder") is None:
        raise KakusanError(f"{name} is a refiner, which goes on with what another model has begun (teach that one)")
    latents = pipe.vae.config["latent_channels"]
    if pipe.unet.config["in_channels"] != latents:
        raise KakusanError(
            f"the U-Net of {name} takes {pipe.unet.config['in_channels']} channels, and its latents have {latents}: it "
            "is told more than prompts, as those for inpainting are (give one from text to images)"
        )
