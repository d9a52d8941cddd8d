"""A LoRA as a file that others read: in diffusers' layout, or in kohya's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from kakusan.adapters.adapter import Adapter, Layout
from kakusan.adapters.spelling import DOWN, UP, kohya
from kakusan.files import atomic_write
from kakusan.tensors import pack

METADATA = "lora_adapter_metadata"
"""Under which diffusers keeps what its weights do not say: alpha above all."""


def write(
    adapter: Adapter, path: str | Path, layout: Layout = "diffusers", family: Literal["sd", "sdxl"] = "sd"
) -> None:
    """Writes an adapter as a safetensors file, whole or not at all, over one that is there.

    Args:
        adapter: What to write.
        path: The file.
        layout: ``diffusers``, whose ``load_lora_weights`` reads it; or ``kohya``, as other programs do.
        family: Whose names kohya's layout has; diffusers' has the same for all.

    Raises:
        KakusanError: The disk refuses it, or the family has no such layers.
    """
    if layout == "kohya":
        tensors: dict[str, Tensor] = {}
        for layer in adapter.ranks:
            name, (down, up) = kohya(layer, family), adapter.factors(layer)
            tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
            tensors[f"{name}.alpha"] = torch.tensor(adapter.alphas[layer])
        about = dict(adapter.about)
    else:
        tensors = diffusers_weights(adapter)
        about = {**adapter.about, METADATA: json.dumps(metadata(adapter), indent=2, sort_keys=True)}
    atomic_write(path, pack(tensors, {**about, "format": "pt"}))


def metadata(adapter: Adapter) -> dict[str, Any]:
    """Returns what diffusers is told of an adapter beside its weights: what makes a ``LoraConfig`` of every part."""
    told: dict[str, Any] = {}
    for part, layers in adapter.parts.items():
        # Newer transformers' layers have no text_model before them; the others end as these do.
        names = {layer: layer.removeprefix(f"{part}.").removeprefix("text_model.") for layer in layers}
        rank, ranks = _usual({names[layer]: adapter.ranks[layer] for layer in layers})
        alpha, alphas = _usual({names[layer]: _plain(adapter.alphas[layer]) for layer in layers})
        how = {"r": rank, "rank_pattern": ranks, "lora_alpha": alpha, "alpha_pattern": alphas}
        told |= {f"{part}.{key}": value for key, value in (how | {"target_modules": sorted(names.values())}).items()}
    return told


def diffusers_weights(adapter: Adapter) -> dict[str, Tensor]:
    """Returns the tensors of an adapter under the names from which diffusers reads them."""
    return {_diffusers(name): weight for name, weight in adapter.weights.items()}


def _usual(values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the commonest of the values, and those that are others."""
    usual = Counter(values.values()).most_common(1)[0][0]
    return usual, {name: value for name, value in values.items() if value != usual}


def _plain(alpha: float) -> float | int:
    return int(alpha) if alpha.is_integer() else alpha


def _diffusers(name: str) -> str:
    """Returns the name from which diffusers reads a tensor: of a text encoder not that of peft, which it does not know
    where only some layers have it."""
    if name.startswith("unet."):
        return name
    return name.replace(DOWN, ".lora_linear_layer.down.weight").replace(UP, ".lora_linear_layer.up.weight")
