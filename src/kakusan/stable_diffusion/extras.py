"""What a pipeline is given beside its own weights: LoRAs, learned words, ControlNets, and of SDXL a refiner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from safetensors import SafetensorError, safe_open

from kakusan import adapters
from kakusan.errors import KakusanError, reason_of
from kakusan.files import at_home, sha256_of
from kakusan.interop.loading import quietly
from kakusan.runs import EMBEDS, worn_by
from kakusan.stable_diffusion.control import read_controlnet, require_fit
from kakusan.stable_diffusion.encoding import readers
from kakusan.stable_diffusion.pipelines import TextToImage, Worn, opened

SDXL_ENCODERS = ("clip_l", "clip_g")
"""What the vectors of SDXL's two text encoders are called in the file of a learned word."""


@dataclass(frozen=True)
class Extras:
    """What a pipeline shall be given, by where each lies.

    Attributes:
        loras: Files of LoRAs, or runs that trained one, and how much each counts.
        controls: Directories of ControlNets, or ``"hub:OWNER/NAME"``, and how much each counts.
        embeddings: Files of learned words, or runs that learned one.
        refiner: Of SDXL, a pipeline that draws the last steps.
    """

    loras: Sequence[tuple[str, float]] = ()
    controls: Sequence[tuple[str, float]] = ()
    embeddings: Sequence[str] = ()
    refiner: str | None = None


def fitted(model: TextToImage, extras: Extras, *, offline: bool = False) -> TextToImage:
    """Returns a pipeline that wears what it is given, in the place of the LoRAs that it wore: so does whatever was
    returned for the same pipe before.

    Raises:
        KakusanError: Something cannot be read, or was made for another architecture.
    """
    refiner = None
    if extras.refiner is not None:
        refiner = _refiner(model, extras.refiner, offline)
    controls = [_control(model, place, weight, offline) for place, weight in extras.controls]
    embeddings = [_learned(model, place) for place in extras.embeddings]
    with quietly():
        worn = adapters.load_into(model.pipe, extras.loras, model.name)
    loras = [Worn(place, it.sha256, it.weight) for (place, _), it in zip(extras.loras, worn, strict=True)]
    return replace(model, loras=loras, embeddings=embeddings, controlnets=controls, refiner=refiner)


def _refiner(model: TextToImage, name: str, offline: bool) -> TextToImage:
    if model.family != "StableDiffusionXL" or model.refines:
        raise KakusanError(f"a refiner draws the last steps of SDXL, and {model.name} is another (leave --refiner out)")
    refiner = opened(name, str(model.device), model.memory, offline=offline)
    if not refiner.refines:
        raise KakusanError(
            f"{name} is no refiner of SDXL, whose pipeline has the second text encoder alone "
            "(stabilityai/stable-diffusion-xl-refiner-1.0 is one)"
        )
    theirs, ours = refiner.latent_shape[0], model.latent_shape[0]
    if theirs != ours or refiner.pipe.vae_scale_factor != model.pipe.vae_scale_factor:
        raise KakusanError(f"the latents of {name} are of another shape than those of {model.name} (give its own)")
    return refiner


def _control(model: TextToImage, place: str, weight: float, offline: bool) -> Worn:
    module, digest = read_controlnet(place, model.device, model.pipe.unet.dtype, offline)
    require_fit(module, place, model.pipe, model.name)
    return Worn(place, digest, weight, module=module)


def _learned(model: TextToImage, place: str) -> Worn:
    """Teaches a pipeline the word of a file, as diffusers, ours and others write them."""
    path = at_home(place)
    path = path / EMBEDS if path.is_dir() else path
    if not path.is_file():
        option = worn_by(place)
        mend = f"what it has learned is worn by {option}" if option else f"give a {EMBEDS}, or the run that learned one"
        raise KakusanError(f"there is no learned word {place} ({mend})")
    if path.suffix != ".safetensors":
        raise KakusanError(f"{place} is no .safetensors, and may be a pickle, which is not read (convert it first)")
    digest = sha256_of([path])
    if digest in model.taught:
        return model.taught[digest]
    try:
        with safe_open(path, "pt") as file:
            vectors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            told = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise KakusanError(f"{place} cannot be read: {reason_of(error)} (fetch it again)") from error
    encoders = list(readers(model.pipe))
    if not vectors or len(vectors) != len(encoders):
        raise KakusanError(
            f"{place} holds vectors for {len(vectors)} text encoders, and {model.name} has {len(encoders)} (give one "
            "that was learned with such a model)"
        )
    # Ours say the word; others name a single text encoder's vectors by it, and those of several by their encoders.
    (first, *_) = vectors
    word = told.get("token") or (path.stem if len(vectors) > 1 or first == "emb_params" else first)
    ordered = [vectors[it] for it in SDXL_ENCODERS] if set(vectors) == set(SDXL_ENCODERS) else list(vectors.values())
    for (tokenizer, encoder), rows in zip(encoders, ordered, strict=True):
        width = encoder.get_input_embeddings().weight.shape[1]
        if rows.shape[-1] != width:
            raise KakusanError(
                f"{place} holds vectors of {rows.shape[-1]} numbers, and the words of {model.name} have {width} (give "
                "one that was learned with such a model)"
            )
        if word in tokenizer.get_vocab():
            raise KakusanError(f"{model.name} knows the word {word} of {place} already (leave one of them out)")
    for (tokenizer, encoder), rows in zip(encoders, ordered, strict=True):
        with quietly():
            model.pipe.load_textual_inversion(rows, word, tokenizer=tokenizer, text_encoder=encoder)
    model.taught[digest] = Worn(place, digest, word=word)
    return model.taught[digest]
