"""Adapters worn by a pipeline of diffusers, several at once; and fused into its weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from kakusan.adapters.adapter import Adapter, described
from kakusan.adapters.reading import read, weights_file
from kakusan.adapters.writing import diffusers_weights, metadata
from kakusan.errors import KakusanError, optional
from kakusan.files import sha256_of


@dataclass(frozen=True)
class Loaded:
    """An adapter that a pipeline wears.

    Attributes:
        name: Of its file or its run.
        sha256: Of its file.
        weight: How much it counts.
    """

    name: str
    sha256: str
    weight: float


def load_into(pipe: Any, wanted: Sequence[tuple[str | Path, float]], model: str = "the pipeline") -> list[Loaded]:
    """Lets a pipeline of diffusers wear adapters in the place of those that it wears: all, or none where one cannot be.

    Args:
        pipe: The pipeline.
        wanted: Where each lies, as for :func:`read`, and how much it counts: 1 as it was trained, 0 not at all.
        model: The name of the pipeline, for people.

    Returns:
        What it wears now, in this order.

    Raises:
        KakusanError: peft is not installed, a file holds no LoRA, or one for another architecture.
    """
    adapters = [(read(place), weight) for place, weight in wanted]
    wear(pipe, adapters, model)
    files = [weights_file(place) for place, _ in wanted]
    return [
        Loaded(Path(place).name, sha256_of([file]), weight) for (place, weight), file in zip(wanted, files, strict=True)
    ]


def wear(pipe: Any, adapters: Sequence[tuple[Adapter, float]], model: str = "the pipeline") -> None:
    """Lets a pipeline wear adapters that were read, as :func:`load_into` does."""
    for adapter, weight in adapters:
        require_fit(pipe, adapter, model)
        if not math.isfinite(weight):
            raise KakusanError(
                f"the weight of {adapter.name} must be a number, not {weight:g} (1 is as it was trained)"
            )
    if not adapters and not any(getattr(it, "peft_config", None) for it in pipe.components.values()):
        return
    with optional("a LoRA", "diffusers"):
        import peft  # noqa: F401 (diffusers needs it, and says so in many words)
    pipe.unload_lora_weights()
    names = [f"lora_{index}" for index in range(len(adapters))]
    for name, (adapter, _) in zip(names, adapters, strict=True):
        weights, how = diffusers_weights(adapter), metadata(adapter)
        # What load_lora_weights does with a file; out of memory it would take every alpha for the rank.
        told = {"network_alphas": None, "metadata": how, "adapter_name": name, "low_cpu_mem_usage": True}
        with _together():
            for part in adapter.parts:
                if part == "unet":
                    pipe.load_lora_into_unet(weights, unet=pipe.unet, _pipeline=pipe, **told)
                else:
                    encoder = getattr(pipe, part)
                    pipe.load_lora_into_text_encoder(weights, text_encoder=encoder, prefix=part, _pipeline=pipe, **told)
    if names:
        pipe.set_adapters(names, [weight for _, weight in adapters])


@contextmanager
def _together() -> Iterator[None]:
    """A context in which peft does not warn that there are several adapters, as there shall be."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        yield


def fused(pipe: Any, adapters: Sequence[tuple[Adapter, float]], model: str = "the pipeline") -> Any:
    """Returns the pipeline itself with adapters fused into its weights, which draws with no more than these.

    Args:
        pipe: A pipeline of diffusers.
        adapters: Each, and how much it counts.
        model: The name of the pipeline, for people.

    Raises:
        KakusanError: peft is not installed, or an adapter is for another architecture.
    """
    wear(pipe, adapters, model)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    return pipe


def require_fit(pipe: Any, adapter: Adapter, model: str) -> None:
    """Refuses an adapter that does not fit a pipeline.

    Raises:
        KakusanError: It changes a layer that the pipeline does not have, or has of another shape.
    """
    theirs = pipe.unet.config["cross_attention_dim"]
    if adapter.cross_width not in (None, theirs):
        raise KakusanError(
            f"{adapter.name} was made for {described(adapter.cross_width)}, and {model} has {theirs} (load it into the "
            "model that it was made for)"
        )
    for part, layers in adapter.parts.items():
        module = getattr(pipe, part, None)
        if module is None:
            raise KakusanError(
                f"{adapter.name} changes a {part}, and {model} has none (load it into the model that it was made for)"
            )
        own = _layers(module)
        for layer in layers:
            _require_layer(adapter, layer, own.get(layer.removeprefix(f"{part}.").removeprefix("text_model.")), model)


def _layers(module: nn.Module) -> Mapping[str, nn.Module]:
    """Returns the layers by name, without what an adapter that is worn has put around them."""
    return {name.removesuffix(".base_layer").removeprefix("text_model."): it for name, it in module.named_modules()}


def _require_layer(adapter: Adapter, layer: str, own: nn.Module | None, model: str) -> None:
    down, up = adapter.factors(layer)
    made = (up.shape[0], *down.shape[1:])
    weight = getattr(own, "weight", None)
    if weight is None or tuple(weight.shape) != made:
        has = "no such layer" if weight is None else f"one of {_shape(weight.shape)}"
        raise KakusanError(
            f"{adapter.name} was made for another architecture: it changes {layer} of {_shape(made)}, and {model} has "
            f"{has} (load it into the model that it was made for)"
        )


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
