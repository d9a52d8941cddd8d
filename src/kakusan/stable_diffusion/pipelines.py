"""A pipeline, ready to draw: opened by its name, of Stable Diffusion 1 and 2, SDXL or its refiner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kakusan.config.models import Sampling
from kakusan.config.names import MODELS
from kakusan.config.wording import either
from kakusan.devices import is_out_of_memory, resolve
from kakusan.errors import KakusanError, optional, reason_of
from kakusan.files import at_home, sha256_of
from kakusan.interop.beside import Beside
from kakusan.interop.loading import quietly
from kakusan.interop.text import words_of
from kakusan.stable_diffusion.encoding import readers
from kakusan.stable_diffusion.fetching import Files, fetched, refuse_pickled_parts
from kakusan.stable_diffusion.kinds import Family, family_of, pipeline_class
from kakusan.stable_diffusion.memory import Memory
from kakusan.words import Words

_DRAWING = ("text_encoder", "text_encoder_2", "unet", "vae")
_CONFIGURED = ("scheduler", "tokenizer", "tokenizer_2")
_SINGLE: dict[str, Family] = {
    "v1": "StableDiffusion",
    "v2": "StableDiffusion",
    "inpainting": "StableDiffusion",
    "inpainting_v2": "StableDiffusion",
    "xl_base": "StableDiffusionXL",
    "xl_inpaint": "StableDiffusionXL",
    "xl_refiner": "StableDiffusionXL",
}
"""What one file holds, by what diffusers calls it."""
STEPS, GUIDANCE = 50, 7.5
"""By how many steps a pipeline draws that says nothing of itself, and how much its prompts count."""


@dataclass(frozen=True)
class Worn:
    """Something that a pipeline wears.

    Attributes:
        place: Where it lies, as it was named.
        sha256: Of its weights' file.
        weight: How much it counts.
        word: Which word it teaches; None where it teaches none.
        module: What it is; None where the pipeline itself has it.
    """

    place: str
    sha256: str
    weight: float = 1.0
    word: str | None = None
    module: Any = None


@dataclass(frozen=True, eq=False)
class TextToImage:
    """A pipeline that draws what it is told.

    Attributes:
        pipe: That of diffusers.
        family: Of which kind it is.
        name: By which it was opened.
        words: Its vocabulary; with the words that it learned from, where it says so.
        steps, guidance: How it draws unless told otherwise.
        eta: Randomness of its walk, where its scheduler is DDIM's.
        weights_hash: SHA-256 of the weights of its parts, and of the files of its scheduler and its tokenizers.
        device: Where it draws.
        memory: What it spares.
        taught: All words that its pipe was ever taught, by the SHA-256 of their files: none is forgotten.
        loras, embeddings, controlnets: What it wears beside its own weights.
        refiner: Of SDXL, which draws the last steps; None where it draws all.
    """

    pipe: Any
    family: Family
    name: str
    words: Words
    steps: int
    guidance: float
    eta: float
    weights_hash: str
    device: torch.device
    memory: Memory = field(default_factory=Memory)
    taught: dict[str, Worn] = field(default_factory=dict, repr=False)
    loras: Sequence[Worn] = ()
    embeddings: Sequence[Worn] = ()
    controlnets: Sequence[Worn] = ()
    refiner: TextToImage | None = field(default=None, repr=False)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the latents of the pictures that it was trained on."""
        size = self.pipe.unet.config["sample_size"]
        height, width = (size, size) if isinstance(size, int) else size
        return int(self.pipe.vae.config["latent_channels"]), height, width

    @property
    def inpaints(self) -> bool:
        """Whether its U-Net is told, beside noisy latents, what is to stay: 9 channels instead of 4."""
        return int(self.pipe.unet.config["in_channels"]) > self.latent_shape[0]

    @property
    def refines(self) -> bool:
        """Whether it is SDXL's refiner, which draws from a picture only."""
        return self.family == "StableDiffusionXL" and self.pipe.components.get("text_encoder") is None


def opened(
    name: str,
    device: str = "auto",
    memory: Memory | None = None,
    *,
    config: str | Path | None = None,
    offline: bool = False,
    safety_checker: bool = True,
) -> TextToImage:
    """Returns a pipeline, ready to draw; nothing is unpickled.

    Args:
        name: ``mini``, the directory of a ``StableDiffusionPipeline`` or a ``StableDiffusionXLPipeline``, one
            ``.safetensors`` file, or ``"hub:OWNER/NAME"``.
        device: Where it computes.
        memory: What it spares; None: nothing, in half precision on a GPU.
        config: Of one file: the directory of a pipeline of the same shape; None: as the hub says of such files.
        offline: Whether the hub may not be asked.
        safety_checker: Whether pictures are looked at, where the pipeline brings something that does.

    Raises:
        KakusanError: diffusers or transformers is not installed, there is no such pipeline, it is of another kind, or
            it does not fit into memory.
    """
    with optional("this", "diffusers"):
        import diffusers  # noqa: F401 (asked for before anything is looked for)
    memory = memory or Memory()
    where = resolve(device)
    memory.require(where)
    dtype = memory.dtype_on(where)
    files = fetched(name, offline=offline, half=dtype == torch.float16)
    if config is not None and not files.single:
        raise KakusanError(f"{name} has a configuration of its own: --model-config is for one file (leave it out)")
    load = _from_file if files.single else _from_directory
    with quietly():
        pipe, family, told = load(name, files, dtype, config, offline)
        if not safety_checker and "safety_checker" in pipe.components:
            pipe.register_modules(safety_checker=None)
            pipe.register_to_config(requires_safety_checker=False)
        memory.prepare(pipe)
        with fitting(name):
            memory.place(pipe, where)
    pipe.set_progress_bar_config(disable=True)
    beside = Beside.read(told)
    words = _words(pipe)
    how = beside.sampling if beside else Sampling(guidance=GUIDANCE)
    return TextToImage(
        pipe,
        family,
        name,
        beside.seen_by(words) if beside else words,
        how.steps or STEPS,
        how.guidance,
        how.eta,
        _hash(files),
        where,
        memory,
    )


@contextmanager
def fitting(name: str) -> Iterator[None]:
    """A context in which what spares memory is said where something called ``name`` does not fit into it."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise KakusanError(
            f"{name} does not fit into memory (draw fewer at a time: --batch 1; spare some: --dtype float16, "
            "--slicing, --tiling, --offload model; kakusan generate --plan says what fits)"
        ) from error


def _from_directory(
    name: str, files: Files, dtype: torch.dtype, config: object, offline: bool
) -> tuple[Any, Family, Path]:
    """Returns a pipeline of a directory, its family, and where it says what it is."""
    import diffusers

    try:
        told = diffusers.DiffusionPipeline.load_config(files.path)
    except (OSError, ValueError) as error:
        raise KakusanError(
            f"{name} is no pipeline of diffusers: {reason_of(error)} (give the directory that holds model_index.json)"
        ) from error
    kind = str(told.get("_class_name"))
    family = family_of(kind, name)
    refuse_pickled_parts(files, told)
    try:
        pipe = getattr(diffusers, kind).from_pretrained(
            files.path, torch_dtype=dtype, variant=files.variant, use_safetensors=True, local_files_only=True
        )
    # Of a file, of a configuration: its errors have no common class.
    except Exception as error:
        raise KakusanError(
            f"{name} cannot be loaded: {reason_of(error)} (its weights must be safetensors; give the directory of a "
            f"{either(f'{it}Pipeline' for it in ('StableDiffusion', 'StableDiffusionXL'))}, or {either(MODELS)})"
        ) from error
    return pipe, family, files.path


def _from_file(
    name: str, files: Files, dtype: torch.dtype, config: str | Path | None, offline: bool
) -> tuple[Any, Family, Path]:
    """Returns a pipeline of one file in the layout of its authors, its family, and where it says what it is."""
    from diffusers import DiffusionPipeline
    from diffusers.loaders.single_file_utils import infer_diffusers_model_type, load_single_file_checkpoint

    try:
        if config is None:
            kind = infer_diffusers_model_type(load_single_file_checkpoint(str(files.path)))
            family = _SINGLE.get(kind)
            beginning = "Img2Img" if kind == "xl_refiner" else ""
        else:
            kind = str(DiffusionPipeline.load_config(at_home(config)).get("_class_name"))
            family, beginning = family_of(kind, str(config)), "Img2Img" if "Img2Img" in kind else ""
    except (OSError, ValueError, RuntimeError) as error:
        raise KakusanError(
            f"{name if config is None else config} cannot be read: {reason_of(error)} (a pipeline in one file is one "
            "of .safetensors, and --model-config the directory of a pipeline of the same shape)"
        ) from error
    if family is None:
        raise KakusanError(f"{name} holds a {kind}, and what draws here is Stable Diffusion 1 or 2, or SDXL")
    made = pipeline_class(family, "Img2Img" if beginning else "")
    told = None if config is None else str(at_home(config))
    try:
        pipe = made.from_single_file(str(files.path), config=told, torch_dtype=dtype, local_files_only=offline)
    # Of a file, of the hub, of a configuration: its errors have no common class.
    except Exception as error:
        raise KakusanError(
            f"{name} cannot be loaded: {reason_of(error)} (its configuration comes from the hub, or from the directory "
            "of a pipeline of the same shape: --model-config DIR)"
        ) from error
    return pipe, family, files.path.parent if told is None else Path(told)


def _words(pipe: Any) -> Words:
    """Returns the vocabulary of a pipeline: that of its first text encoder."""
    tokenizer, encoder = next(readers(pipe))
    return words_of(tokenizer, int(encoder.config.max_position_embeddings))


def _hash(files: Files) -> str:
    """Returns the SHA-256 of what draws: of weights, beside which there may be others in half precision, and of what is
    configured alone."""
    if files.single:
        return sha256_of([files.path])
    weights = [file for part in _DRAWING for file in files.weights_of(part)]
    return sha256_of([*weights, *(file for part in _CONFIGURED for file in sorted((files.path / part).glob("*.*")))])
