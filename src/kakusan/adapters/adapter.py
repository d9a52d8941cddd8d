"""What a LoRA holds: two thin matrices for every layer that it changes, and how much they count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from torch import Tensor

from kakusan.adapters.spelling import DOWN, UP, canonical

Layout = Literal["diffusers", "kohya"]

PARTS = ("unet", "text_encoder", "text_encoder_2")
"""Of a pipeline, which an adapter may change."""

FAMILIES: Mapping[int, str] = {
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    2048: "SDXL",
    1280: "SDXL refiner",
}
"""Models by the width of what their U-Net reads of a prompt."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA: a layer of weights W becomes W + alpha / rank · B·A.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021.

    Attributes:
        weights: A and B by name, ``unet.….to_q.lora_A.weight`` of shape (rank, in) and ``….lora_B.weight`` of shape
            (out, rank); of a convolution (rank, in, K, K) and (out, rank, 1, 1). A text encoder's layers are
            ``text_encoder.text_model.…``, with or without the second word.
        alphas: By layer, ``unet.….to_q``; one that is not there is its rank.
        about: What its file says besides.
        name: Where it is from, for people.
        layout: In which its file was.
    """

    weights: Mapping[str, Tensor]
    alphas: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    name: str = "the adapter"
    layout: Layout = "diffusers"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", {canonical(name): weight for name, weight in self.weights.items()})
        given = {canonical(name): float(alpha) for name, alpha in self.alphas.items()}
        object.__setattr__(self, "alphas", {name: given.get(name, float(rank)) for name, rank in self.ranks.items()})

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The rank of every layer that is changed."""
        return {
            name.removesuffix(DOWN): weight.shape[0] for name, weight in self.weights.items() if name.endswith(DOWN)
        }

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return sum(weight.numel() for weight in self.weights.values())

    @property
    def parts(self) -> dict[str, list[str]]:
        """The layers of every part of a pipeline that it changes."""
        found = {part: [name for name in self.ranks if name.startswith(f"{part}.")] for part in PARTS}
        return {part: names for part, names in found.items() if names}

    @property
    def cross_width(self) -> int | None:
        """Width of what the U-Net reads of a prompt; None where that cannot be told from what is changed."""
        for name in self.ranks:
            if name.endswith(("attn2.to_k", "attn2.to_v")):
                return self.weights[name + DOWN].shape[1]
        return None

    @property
    def family(self) -> str | None:
        """For which model it was made, as far as its shapes tell."""
        return described(self.cross_width)

    def scale(self, layer: str) -> float:
        """How much B·A counts in a layer: alpha / rank."""
        return self.alphas[layer] / self.ranks[layer]

    def factors(self, layer: str) -> tuple[Tensor, Tensor]:
        """Returns A and B of a layer."""
        return self.weights[layer + DOWN], self.weights[layer + UP]


def described(cross_width: int | None) -> str | None:
    """Returns how a model is called whose U-Net reads so wide a prompt: "SDXL (cross-attention width 2048)"."""
    if cross_width is None:
        return None
    width = f"cross-attention width {cross_width}"
    return f"{FAMILIES[cross_width]} ({width})" if cross_width in FAMILIES else f"a model of {width}"
