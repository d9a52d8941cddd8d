"""A LoRA out of a file, in any of the layouts that there are; nothing is unpickled."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from kakusan.adapters.adapter import PARTS, Adapter, Layout
from kakusan.adapters.spelling import BLOCK_LAYERS, DOWN, UP, peft
from kakusan.adapters.writing import METADATA
from kakusan.errors import KakusanError, optional, reason_alone
from kakusan.files import at_home
from kakusan.runs import LORA, worn_by

_PICKLES = (".bin", ".ckpt", ".pt", ".pth")
_KOHYA = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_")
_OTHERS: Mapping[str, str] = {
    "dora_scale": "DoRA, which scales every column as well",
    "lora_magnitude_vector": "DoRA, which scales every column as well",
    "hada_w": "LoHa, products of two low ranks",
    "lokr_w": "LoKr, Kronecker products",
    "oft_": "OFT, rotations",
    "lora_mid": "LoCon with a convolution between its two",
    ".diff": "whole differences of weights",
}
"""What others put into files of this kind, by what its tensors are called."""


def read(place: str | Path) -> Adapter:
    """Returns the adapter of a file, on the CPU.

    Args:
        place: A safetensors file in diffusers' layout or in kohya's, or a directory with one of diffusers' name, such
            as a run has that trained it.

    Raises:
        KakusanError: There is none, it is damaged or a pickle, or what it holds is no LoRA of Stable Diffusion.
    """
    path = weights_file(place)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            about = dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise KakusanError(
            f"{path} cannot be read: {reason_alone(error)} (a LoRA is a safetensors file; fetch it again)"
        ) from error
    _require_lora(path, tensors)
    about.pop("format", None)
    told = about.pop(METADATA, None)
    layout: Layout = "kohya" if all(name.startswith(_KOHYA) for name in tensors) else "diffusers"
    if layout == "kohya":
        weights, alphas = _kohya(path, tensors)
    else:
        weights = {peft(name): tensor for name, tensor in tensors.items()}
        alphas = _alphas(path, told, weights) if told else {}
    _require_pairs(path, weights)
    return Adapter(weights, alphas, about, str(place), layout)


def weights_file(place: str | Path) -> Path:
    """Returns the file of a LoRA: one that is named, or that of a directory.

    Raises:
        KakusanError: There is none, or it is a pickle.
    """
    path = at_home(place)
    if path.is_dir():
        path = path / LORA
        if not path.exists():
            told = worn_by(place)
            mend = (
                f"what it has learned is worn by {told}"
                if told
                else "give the file of a LoRA, or a run that trained one"
            )
            raise KakusanError(f"{place} holds no {LORA} ({mend})")
    if not path.exists():
        raise KakusanError(f"there is no file {place} (give the file of a LoRA, or a run that trained one)")
    if path.suffix.lower() in _PICKLES:
        raise KakusanError(
            f"{place} is a pickle, which could run code, and is not read: convert it where you trust it "
            f"(safetensors.torch.save_file(torch.load({path.name!r}, weights_only=True), "
            f"{path.with_suffix('.safetensors').name!r}))"
        )
    return path


def _require_lora(path: Path, tensors: Mapping[str, Tensor]) -> None:
    if not tensors:
        raise KakusanError(f"{path} holds no tensor, and a LoRA has two for every layer (fetch it again)")
    for mark, what in _OTHERS.items():
        if any(mark in name for name in tensors):
            raise KakusanError(f"{path} holds {what}; only plain LoRA is known here (train or fetch it as LoRA)")
    known = (*_KOHYA, *(f"{part}." for part in PARTS))
    for name in tensors:
        if not name.startswith(known):
            raise KakusanError(
                f"{path} is no LoRA of Stable Diffusion: it holds {name}, and such a file's names begin with "
                "unet. and text_encoder., or with lora_unet_ and lora_te_ (give another file)"
            )


def _require_pairs(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuses layers of which half is missing, and what is neither half."""
    for name, weight in weights.items():
        ending = next((it for it in (DOWN, UP) if name.endswith(it)), None)
        other = None if ending is None else weights.get(name.removesuffix(ending) + (UP if ending == DOWN else DOWN))
        if other is None or min(weight.ndim, other.ndim) < 2:
            raise KakusanError(f"{path} is no whole LoRA: {name} has no other half (fetch it again)")
        if ending == DOWN and weight.shape[0] != other.shape[1]:
            raise KakusanError(
                f"{path} is damaged: {name} has rank {weight.shape[0]}, and its other half {other.shape[1]} "
                "(fetch it again)"
            )


def _kohya(path: Path, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Returns weights and alphas of a file in kohya's layout; diffusers knows its names."""
    with optional("a LoRA in kohya's layout", "diffusers"):
        from diffusers.loaders import StableDiffusionXLLoraLoaderMixin as Loader
    try:
        found, alphas = Loader.lora_state_dict(
            dict(tensors), unet_config=SimpleNamespace(layers_per_block=BLOCK_LAYERS)
        )
    # What it does not know makes it stumble in many ways.
    except Exception as error:
        raise KakusanError(
            f"{path} is no LoRA of Stable Diffusion that diffusers knows: {error} (give another file)"
        ) from error
    weights = {peft(name): tensor for name, tensor in found.items()}
    # An alpha is called as its layer's first tensor is, or as the layer.
    named = {peft(name.removesuffix(".alpha")).removesuffix(DOWN): float(alpha) for name, alpha in alphas.items()}
    return weights, named


def _alphas(path: Path, told: str, weights: Mapping[str, Tensor]) -> dict[str, float]:
    """Returns the alphas of which diffusers' metadata tells; a part of which it does not has the ranks as alphas."""
    try:
        how: dict[str, Any] = json.loads(told)
        return {
            name.removesuffix(DOWN): _alpha(how, name.removesuffix(DOWN), weight.shape[0])
            for name, weight in weights.items()
            if name.endswith(DOWN) and f"{name.partition('.')[0]}.lora_alpha" in how
        }
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise KakusanError(f"{path} is damaged: its {METADATA} cannot be read: {error} (fetch it again)") from error


def _alpha(how: Mapping[str, Any], layer: str, rank: int) -> float:
    part, _, layer = layer.partition(".")
    patterns: Mapping[str, float] = how.get(f"{part}.alpha_pattern") or {}
    matching = (alpha for pattern, alpha in patterns.items() if re.match(rf"(.*\.)?({pattern})$", layer))
    alpha = float(next(matching, how[f"{part}.lora_alpha"]))
    return alpha * rank**0.5 if how.get(f"{part}.use_rslora") else alpha
