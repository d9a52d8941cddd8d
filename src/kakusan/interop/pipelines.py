"""From diffusers: whole models, out of directories that it wrote or of repositories of the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kakusan.config.names import HUB, shipped
from kakusan.errors import KakusanError, optional, reason_of
from kakusan.files import at_home
from kakusan.interop.beside import Beside
from kakusan.interop.loading import whole
from kakusan.interop.text import read_text_encoder
from kakusan.networks import TextEncoder
from kakusan.words import Words

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel

_KNOWN = {"unet", "scheduler", "vae", "text_encoder", "tokenizer"}


@dataclass(frozen=True)
class Pipeline:
    """What a directory of diffusers, or a repository of the hub, holds.

    Attributes:
        unet: The network.
        scheduler: The configuration of its scheduler.
        vae: The autoencoder; None where it works on pixels.
        text: What reads prompts, and its vocabulary; None where none are read.
        beside: What it says besides, where it is one of ours.
    """

    unet: UNet2DModel | UNet2DConditionModel
    scheduler: Mapping[str, Any]
    vae: AutoencoderKL | None = None
    text: tuple[TextEncoder, Words] | None = None
    beside: Beside | None = None


def place_of(name: str) -> str | None:
    """Returns where other libraries find a model by its name: that of one that ships with this package, what it is
    called on the hub, or the path of its directory; None where it is none of these."""
    if name.startswith(HUB):
        return name.removeprefix(HUB)
    if (ours := shipped(name)) is not None:
        return str(ours)
    return str(path) if (path := at_home(name)).is_dir() else None


def read_pipeline(name: str) -> Pipeline:
    """Returns a pipeline by the path of its directory, or ``"hub:OWNER/NAME"``; its weights must be safetensors.

    Raises:
        KakusanError: diffusers is not installed; there is none, or one with parts that are not known here; or its
            weights are a pickle, which could run code.
    """
    with optional("this", "diffusers"):
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel, UNet2DModel
    place = place_of(name)
    if place is None:
        raise KakusanError(f"there is no directory {name} (check the path; a pipeline of the hub is {HUB}OWNER/NAME)")
    parts = _parts(place)
    if more := sorted(parts - _KNOWN):
        raise KakusanError(
            f"{name} holds {', '.join(more)}, which is not known here, only a unet, a scheduler, a vae, a text encoder "
            "and its tokenizer"
        )
    reads_text = "text_encoder" in parts
    kind = UNet2DConditionModel if reads_text else UNet2DModel
    kinds = {"unet": kind.__name__, "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel", "": kind.__name__}
    for folder, its in kinds.items():
        refuse_pickles(Path(place) / folder, its)
    unet = _part(partial(whole, kind.from_pretrained), place, "unet").float()
    scheduler = _part(DDPMScheduler.load_config, place, "scheduler")
    vae = None
    if "vae" in parts:
        vae = _part(partial(whole, AutoencoderKL.from_pretrained), place, "vae").float()
    beside, text = Beside.read(Path(place)), read_text_encoder(place) if reads_text else None
    if beside is not None and text is not None:
        text = text[0], beside.seen_by(text[1])
    return Pipeline(unet, scheduler, vae, text, beside)


def _parts(place: str) -> set[str]:
    """Returns what a pipeline says it has; of one without an index, such as ours by class or in latents, the folders
    that there are."""
    from diffusers import DiffusionPipeline

    try:
        index = DiffusionPipeline.load_config(place)
    except (OSError, ValueError):
        found = {"unet", "scheduler", *(["vae"] if _has_vae(place) else [])}
        return found | ({"text_encoder", "tokenizer"} if (Path(place) / "text_encoder").is_dir() else set())
    return {name for name, it in index.items() if isinstance(it, (list, tuple)) and it[0] is not None}


def _has_vae(place: str) -> bool:
    from diffusers import AutoencoderKL

    try:
        AutoencoderKL.load_config(place, subfolder="vae")
    except (OSError, ValueError):
        return False
    return True


def _part(load: Callable[..., Any], name: str, folder: str) -> Any:
    """Returns a part of a pipeline from its folder, or where a repository has but one model, from its root."""
    reasons = []
    for place in ({"subfolder": folder}, {}):
        try:
            return load(name, **place)
        # Of a file, of the hub, of a configuration: its errors have no common class.
        except Exception as error:
            reasons.append(reason_of(error))
    raise KakusanError(
        f"{name} holds no {folder} that diffusers loads: {reasons[0]} (give the directory of a pipeline, or its name)"
    )


def refuse_pickles(folder: Path, kind: str) -> None:
    """Refuses a folder of weights that are pickles only.

    Args:
        folder: Which; one that does not exist holds none.
        kind: The class of what they are the weights of, which converts them.

    Raises:
        KakusanError: They are.
    """
    pickles, safe = list(folder.glob("*.bin")), list(folder.glob("*.safetensors"))
    if pickles and not safe:
        raise KakusanError(
            f"{pickles[0]} is a pickle, which could run code, and is not read: convert it where you trust it "
            f"({kind}.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r}) writes safetensors)"
        )
