"""What was learned as files that work elsewhere: written from a run, loaded back by plain diffusers, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kakusan import adapters
from kakusan.adapters import Adapter
from kakusan.adapters.spelling import BLOCK_LAYERS
from kakusan.config import models as config
from kakusan.customising.customised import Customised, base_of
from kakusan.customising.preparing import drawn, restored
from kakusan.errors import KakusanError
from kakusan.files import atomic_path, atomic_write, remove_whole
from kakusan.interop.beside import Beside
from kakusan.interop.loading import quietly
from kakusan.interop.pipelines import place_of
from kakusan.runs import Run
from kakusan.stable_diffusion import SDXL_ENCODERS, TextToImage, readers
from kakusan.tensors import pack, read_tensors

LORA, KOHYA = "pytorch_lora_weights.safetensors", "lora-kohya.safetensors"
EMBEDS, PIPELINE = "learned_embeds.safetensors", "pipeline"
_STEPS, _GUIDANCE = 4, 2.0
_APART = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}
"""By how much pixels, in [−1, 1], may differ: half precision rounds elsewhere once an adapter is loaded anew."""


def publish(run: Run, device: str) -> list[str]:
    """Writes what a run has taught a pipeline, the averaged weights of its last checkpoint, in the forms that others
    read: a LoRA in diffusers' layout and in kohya's, an embedding, or a whole pipeline.

    Args:
        run: The run.
        device: Where both are drawn.

    Returns:
        What is to be said: the files, and by how much pictures differ that plain diffusers draws with them.

    Raises:
        KakusanError: The disk refuses a file, or what was loaded back draws something else.
    """
    learned = restored(run, device=device)
    files = _WRITTEN[type(learned.settings.network)](learned, run.path)
    ours = drawn(learned, 1, steps=_STEPS, guidance=_GUIDANCE)
    return [_compared(learned, file, ours) for file in files]


def _compared(learned: Customised, file: Path, ours: Tensor) -> str:
    """Returns by how much pictures differ that are drawn with what was written."""
    again = drawn(learned, 1, by=_loaded(learned, file), steps=_STEPS, guidance=_GUIDANCE)
    apart, most = (ours - again).abs().max().item(), _APART[learned.base.pipe.unet.dtype]
    if not apart <= most:
        raise KakusanError(
            f"{file} was written and loaded back, and draws pictures that differ by {apart:.2g} from those of the "
            f"run, where {most:g} is allowed (do not use it; the run's checkpoints are whole: please report this)"
        )
    return f"{file}: plain diffusers draws with it what was trained, to {apart:.1e}"


def _loaded(learned: Customised, file: Path) -> TextToImage:
    """Returns the pipeline with what was written, as anybody loads it with diffusers alone."""
    network, settings, device = learned.settings.network, learned.settings, str(learned.base.pipe.device)
    if isinstance(network, config.Whole):
        whole = network.model_copy(update={"model": str(file)})
        return base_of(settings.model_copy(update={"network": whole}), device)
    base = base_of(settings, device)
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
    adapter = Adapter(weights, alphas, {"base": network.model, "prompts": " | ".join(learned.prompts)})
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
    vectors = [encoder.get_input_embeddings().new.detach().cpu() for _, encoder in readers(pipe)]
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
        remove_whole(place)
    return [place]


_WRITTEN: Mapping[type, Callable[[Customised, Path], list[Path]]] = {
    config.LoRA: _lora,
    config.Whole: _whole,
    config.Embedding: _embedding,
}
