"""What was learned as files that work elsewhere: written from a run, loaded back by plain diffusers, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kakusan import adapters
from kakusan.adapters import Adapter
from kakusan.adapters.spelling import BLOCK_LAYERS
from kakusan.config import models as config
from kakusan.customising.customised import Customised, base_of
from kakusan.customising.preparing import untaught
from kakusan.customising.showing import Showing, unchecked
from kakusan.errors import KakusanError
from kakusan.files import atomic_path, atomic_write, replacing
from kakusan.interop.beside import Beside
from kakusan.interop.loading import quietly
from kakusan.interop.pipelines import place_of
from kakusan.runs import EMBEDS, KOHYA, LORA, PIPELINE, PUBLISHED, Run
from kakusan.stable_diffusion import SDXL_ENCODERS, TextToImage, readers
from kakusan.tensors import load_weights, pack, read_tensors

_STEPS, _GUIDANCE = 4, 2.0
_SHARE = 0.1
"""Of how much learning has changed pictures: how much they may differ once what was learned is loaded back."""
_ROUNDED = {torch.float32: 1e-4, torch.bfloat16: 5e-3, torch.float16: 1e-3}
"""By how much of a pixel, in [−1, 1], rounding may change pictures in the mean."""


@dataclass(frozen=True)
class _Learned:
    """What is kept of a pipeline to compare others with, so that two of them are never held at a time.

    Attributes:
        settings: How it has learned.
        showing: What is drawn.
        device, dtype: Where, and in which precision.
        before, after: What it draws, before it learned and since.
    """

    settings: config.Config
    showing: Showing
    device: str
    dtype: torch.dtype
    before: Tensor
    after: Tensor


def publish(run: Run, device: str) -> list[str]:
    """Writes what a run has taught a pipeline, the averaged weights of its last checkpoint, in the forms that others
    read: a LoRA in diffusers' layout and in kohya's, an embedding, or a whole pipeline. Files of an earlier call give
    way once the new ones have been loaded back and draw what the run does.

    Args:
        run: The run.
        device: Where both are drawn.

    Returns:
        What is to be said: the files, and by how much pictures differ that plain diffusers draws with them.

    Raises:
        KakusanError: The disk refuses a file, or what was loaded back draws something else.
    """
    with replacing(run.path, PUBLISHED):
        files, learned = _written(run, device)
        return [_compared(learned, file) for file in files]


def _written(run: Run, device: str) -> tuple[list[Path], _Learned]:
    learned = untaught(run, run.checkpoint(), device)
    showing = Showing.of(learned, _STEPS, _GUIDANCE)
    before = _drawn(showing, learned.base)
    load_weights(learned.network, run.checkpoint().weights_path("ema"))
    after, pipe = _drawn(showing, learned.base), learned.base.pipe
    files = _WRITTEN[type(learned.settings.network)](learned, run.path)
    return files, _Learned(learned.settings, showing, str(pipe.device), pipe.unet.dtype, before, after)


def _drawn(showing: Showing, base: TextToImage) -> Tensor:
    with unchecked(base.pipe):
        return showing.drawn(base, 1)


def _compared(learned: _Learned, file: Path) -> str:
    """Returns by how much pictures differ that are drawn with what was written."""
    again = _drawn(learned.showing, _loaded(learned, file))
    apart, changed = ((learned.after - it).abs().mean().item() for it in (again, learned.before))
    if not apart <= max(_ROUNDED[learned.dtype], _SHARE * changed):
        raise KakusanError(
            f"{file} was written and loaded back, and draws pictures that differ by {apart:.1e} of a pixel from those "
            f"of the run, where learning has changed {changed:.1e} (it is removed again, and the run's checkpoints are "
            "whole: please report this)"
        )
    return (
        f"{file}: plain diffusers draws with it what was trained, to {apart:.1e} of a pixel, where learning has "
        f"changed {changed:.1e}"
    )


def _loaded(learned: _Learned, file: Path) -> TextToImage:
    """Returns the pipeline with what was written, as anybody loads it with diffusers alone."""
    network, settings = learned.settings.network, learned.settings
    if isinstance(network, config.Whole):
        whole = network.model_copy(update={"model": str(file)})
        return base_of(settings.model_copy(update={"network": whole}), learned.device)
    base = base_of(settings, learned.device)
    pipe: Any = base.pipe
    with quietly():
        if isinstance(network, config.LoRA):
            pipe.load_lora_weights(file.parent, weight_name=file.name)
        elif isinstance(network, config.Embedding):
            vectors = read_tensors(file)  # in any order
            for name, (tokenizer, encoder) in zip(_names(network, pipe), readers(pipe), strict=True):
                pipe.load_textual_inversion(vectors[name], network.token, tokenizer=tokenizer, text_encoder=encoder)
    return base


def _lora(learned: Customised, directory: Path) -> list[Path]:
    network = learned.settings.network
    assert isinstance(network, config.LoRA), "chosen by its kind"
    weights = {it.replace(".default.", "."): weight.detach().cpu() for it, weight in learned.network.named_parameters()}
    alpha = float(network.rank if network.alpha is None else network.alpha)
    alphas = {name.rpartition(".lora_A")[0]: alpha for name in weights if ".lora_A." in name}
    adapter = Adapter(weights, alphas, {"base": network.model, "prompts": " | ".join(dict.fromkeys(learned.prompts))})
    adapters.write(adapter, directory / LORA)
    sdxl = len(list(readers(learned.base.pipe))) > 1
    # Its names there count the layers of a block.
    if sdxl and learned.base.pipe.unet.config["layers_per_block"] != BLOCK_LAYERS:
        return [directory / LORA]
    adapters.write(adapter, directory / KOHYA, layout="kohya", family="sdxl" if sdxl else "sd")
    return [directory / LORA, directory / KOHYA]


def _embedding(learned: Customised, directory: Path) -> list[Path]:
    network, pipe = learned.settings.network, learned.base.pipe
    assert isinstance(network, config.Embedding), "chosen by its kind"
    vectors = [encoder.get_input_embeddings().new.weight.detach().cpu() for _, encoder in readers(pipe)]
    named = dict(zip(_names(network, pipe), vectors, strict=True))
    atomic_write(directory / EMBEDS, pack(named, {"token": network.token}))
    return [directory / EMBEDS]


def _names(network: config.Embedding, pipe: Any) -> tuple[str, ...]:
    """Returns what the vectors of every text encoder are called in a file."""
    return (network.token,) if len(list(readers(pipe))) == 1 else SDXL_ENCODERS


def _whole(learned: Customised, directory: Path) -> list[Path]:
    place = directory / PIPELINE
    with atomic_path(place) as temporary, quietly():
        learned.base.pipe.save_pretrained(temporary, safe_serialization=True)
        base = place_of(learned.base.name)
        if base is not None and (beside := Beside.read(Path(base))) is not None:
            beside.write(temporary)
    return [place]


_WRITTEN: Mapping[type, Callable[[Customised, Path], list[Path]]] = {
    config.LoRA: _lora,
    config.Whole: _whole,
    config.Embedding: _embedding,
}
