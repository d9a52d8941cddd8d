"""A pipeline by its name: shipped with this package, in a directory, or on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from kakusan.config.models import Sampling
from kakusan.config.names import HUB, MODELS
from kakusan.config.wording import either
from kakusan.devices import resolve
from kakusan.errors import KakusanError, optional, reason_of
from kakusan.files import at_home, sha256_of
from kakusan.interop.beside import Beside
from kakusan.interop.loading import quietly
from kakusan.interop.pipelines import place_of
from kakusan.interop.text import read_words
from kakusan.runs import Run
from kakusan.words import Words

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

_DRAWING = ("text_encoder", "unet", "vae")
STEPS, GUIDANCE = 50, 7.5
"""By how many steps a pipeline draws that says nothing of itself, and how much its prompts count."""


@dataclass(frozen=True, eq=False)
class TextToImage:
    """A pipeline that draws what it is told.

    Attributes:
        pipe: That of diffusers.
        name: By which it was opened.
        words: Its vocabulary; with the words that it learned from, where it says so.
        steps, guidance: How it draws unless told otherwise.
        eta: Randomness of its walk, where its scheduler is DDIM's.
        weights_hash: SHA-256 of the weights of its parts.
    """

    pipe: StableDiffusionPipeline
    name: str
    words: Words
    steps: int
    guidance: float
    eta: float
    weights_hash: str

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the latents of the pictures that it was trained on."""
        size = self.pipe.unet.config["sample_size"]
        height, width = (size, size) if isinstance(size, int) else size
        return int(self.pipe.unet.config["in_channels"]), height, width


def opened(name: str, device: str = "auto") -> TextToImage:
    """Returns a pipeline, ready to draw; nothing is unpickled.

    Args:
        name: ``mini``, the directory of a ``StableDiffusionPipeline``, or ``"hub:OWNER/NAME"``.
        device: Where it computes.

    Raises:
        KakusanError: diffusers or transformers is not installed, there is no such pipeline, or it is of another kind.
    """
    with optional("this", "diffusers"):
        from diffusers import StableDiffusionPipeline
    place = _place_of(name)
    where = resolve(device)
    dtype = torch.float16 if where.type == "cuda" else torch.float32
    if (kind := _kind(name, place)) != "StableDiffusionPipeline":
        raise KakusanError(
            f"{name} is a {kind}, and it is a StableDiffusionPipeline that draws what it is told (give another "
            f"directory, or {either(MODELS)})"
        )
    with quietly():
        try:
            pipe = StableDiffusionPipeline.from_pretrained(place, use_safetensors=True)
            pipe.to(where, dtype)
            words = read_words(place, "tokenizer", pipe.text_encoder.config.max_position_embeddings)
        # Of a file, of the hub, of a configuration: its errors have no common class.
        except Exception as error:
            raise KakusanError(
                f"{name} cannot be loaded: {reason_of(error)} (its weights must be safetensors; give the directory of "
                f"a StableDiffusionPipeline, or {either(MODELS)})"
            ) from error
    pipe.set_progress_bar_config(disable=True)
    beside = Beside.read(Path(place))
    how = beside.sampling if beside else Sampling(guidance=GUIDANCE)
    return TextToImage(
        pipe,
        name,
        beside.seen_by(words) if beside else words,
        how.steps or STEPS,
        how.guidance,
        how.eta,
        _hash(Path(place)),
    )


def _place_of(name: str) -> str:
    """Returns what diffusers loads a pipeline from: the path of its directory, or its name on the hub."""
    if name not in MODELS and Run.is_at(at_home(name)):
        raise KakusanError(
            f"{name} is a run of ours: kakusan sample {name} --prompt … draws from it, and kakusan export {name} DIR "
            "makes a pipeline of it"
        )
    if (place := place_of(name)) is not None:
        return place
    what = f"{name} is a file, and no model" if at_home(name).exists() else f"there is no model {name}"
    raise KakusanError(
        f"{what} (give {either(MODELS)}, the directory of a StableDiffusionPipeline, or {HUB}OWNER/NAME)"
    )


def _kind(name: str, place: str) -> str:
    """Returns what kind of pipeline a place holds."""
    from diffusers import DiffusionPipeline

    try:
        return str(DiffusionPipeline.load_config(place).get("_class_name"))
    except (OSError, ValueError) as error:
        raise KakusanError(
            f"{name} is no pipeline of diffusers: {reason_of(error)} (give the directory that holds model_index.json)"
        ) from error


def _hash(directory: Path) -> str:
    """Returns the SHA-256 of the weights that draw; empty for a pipeline of the hub."""
    files = [file for part in _DRAWING for file in sorted(directory.glob(f"{part}/*.safetensors"))]
    return sha256_of(files) if files else ""
