"""To and from transformers: the weights of a text encoder, and of both towers of a CLIP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from kakusan.errors import KakusanError, optional, reason_of
from kakusan.interop.diffusers import renamed
from kakusan.interop.loading import whole
from kakusan.networks import CLIP, ImageEncoder, TextEncoder
from kakusan.words import END, START, Words, of_clip

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTextModel

_RENAMES = [
    (r"^words\.", "embeddings.token_embedding."),
    (r"^places\.", "embeddings.position_embedding."),
    (r"^norm\.", "final_layer_norm."),
    (r"^stack\.(\d+)\.", r"encoder.layers.\1."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.attention\.(q|k|v)(?:uery|ey|alue)\.", r".self_attn.\1_proj."),
    (r"\.attention\.output\.", ".self_attn.out_proj."),
    (r"\.hidden\.", ".mlp.fc1."),
    (r"(layers\.\d+)\.output\.", r"\1.mlp.fc2."),
]
_OF_IMAGES = [
    (r"^whole$", "embeddings.class_embedding"),
    (r"^squares\.", "embeddings.patch_embedding."),
    (r"^before\.", "pre_layrnorm."),  # which is how they spell it
    (r"^norm\.", "post_layernorm."),
    *_RENAMES,
]
_OF_BOTH = {
    "from_text.weight": "text_projection.weight",
    "from_image.weight": "visual_projection.weight",
    "log_scale": "logit_scale",
}
CLIP_FOLDER = "clip"
"""Where the CLIP of a pipeline of ours lies beside its parts."""
_SEEN = "preprocessor_config.json"
_HALF = 0.5  # mean and deviation that take pixels from [0, 1] to [−1, 1]
_PREFIX = "text_model."  # which newer versions of transformers leave out, and all of them read
# What CLIPTextModel leaves open and ours has decided.
_DECIDED: dict[str, Any] = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}


def text_to_transformers(text: TextEncoder) -> CLIPTextModel:
    """Returns transformers' ``CLIPTextModel`` with the weights of an encoder; both give the same output.

    Raises:
        KakusanError: transformers is not installed.
    """
    with optional("this", "transformers"):
        from transformers import CLIPTextConfig, CLIPTextModel
    model = CLIPTextModel(CLIPTextConfig(**configuration_of(text)))
    prefix = _PREFIX if any(name.startswith(_PREFIX) for name in model.state_dict()) else ""
    weights = {prefix + their_name(name): weight.clone() for name, weight in text.state_dict().items()}
    model.load_state_dict(weights, strict=False, assign=True)  # a version keeps the numbers of places among them
    trained: CLIPTextModel = model.train(text.training)
    return trained


def text_from_transformers(model: CLIPTextModel) -> TextEncoder:
    """Returns our text encoder with the weights of ``model``; both give the same output.

    Raises:
        KakusanError: Its configuration has something that ours has not; the field is named.
    """
    text = _encoder_of(model.config.to_dict())
    weights = {name.removeprefix(_PREFIX): weight for name, weight in model.state_dict().items()}
    text.load_state_dict({name: weights[their_name(name)].clone() for name in text.state_dict()}, assign=True)
    return text.train(model.training)


def read_text_encoder(name: str | Path) -> tuple[TextEncoder, Words]:
    """Returns a ``CLIPTextModel`` as ours with the vocabulary of its tokenizer, by the path of their directory or of a
    Stable Diffusion that has both, or by its name on the hub; nothing is unpickled.

    Raises:
        KakusanError: transformers is not installed, there is none, or it has something that ours has not.
    """
    with optional("this", "transformers"):
        from transformers import CLIPTextModel
    reasons = []
    places = [("text_encoder", "tokenizer"), ("", "")]
    if Path(name).is_dir():  # which has the parts of a Stable Diffusion, or is one itself
        places = places[:1] if (Path(name) / "text_encoder").is_dir() else places[1:]
    for text_folder, words_folder in places:
        try:
            model = whole(CLIPTextModel.from_pretrained, name, subfolder=text_folder).float()
        # Of a file, of the hub, of a configuration: its errors have no common class.
        except Exception as error:
            reasons.append(reason_of(error))
            continue
        try:
            words = read_words(name, words_folder, model.config.max_position_embeddings)
        except Exception as error:  # likewise
            raise KakusanError(
                f"the text encoder {name} has no tokenizer that goes with it: {reason_of(error)} (give the directory "
                "of a Stable Diffusion, which holds both, or put the tokenizer's files beside it)"
            ) from error
        text = text_from_transformers(model)
        if (len(words), words.length) != (text.vocabulary, text.length):
            raise KakusanError(
                f"the text encoder {name} reads {text.vocabulary:,} pieces of words, {text.length} at a time, and its "
                f"tokenizer makes {len(words):,}, {words.length} at a time: they do not belong together"
            )
        return text, words
    raise KakusanError(
        f"there is no text encoder {name}: {reasons[-1]} (give the run of a CLIP, or the directory or the name of a "
        "CLIPTextModel with safetensors and its tokenizer)"
    )


def read_words(name: str | Path, folder: str, most: int) -> Words:
    """Returns the vocabulary of a tokenizer, of captions no longer than its model reads.

    Args:
        name: The directory, or what it is called on the hub.
        folder: Where in it; empty for nowhere deeper.
        most: Pieces that the model reads at a time.

    Raises:
        Exception: What transformers raises where there is none; its errors have no common class.
    """
    from transformers import AutoTokenizer

    return words_of(AutoTokenizer.from_pretrained(name, subfolder=folder, use_fast=True), most)


def words_of(tokenizer: Any, most: int) -> Words:
    """Returns the vocabulary of one of transformers' tokenizers, of captions no longer than its model reads."""
    layout = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    return of_clip(layout["vocab"], layout["merges"], min(tokenizer.model_max_length, most))


def write_words(words: Words, directory: Path) -> None:
    """Writes a vocabulary into a directory, as transformers' ``CLIPTokenizer`` reads it."""
    directory.mkdir(parents=True, exist_ok=True)
    merges = "\n".join(" ".join(pair) for pair in words.merges)
    ends = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    about = {"tokenizer_class": "CLIPTokenizer", "model_max_length": words.length, "do_lower_case": True, **ends}
    for file, content in {
        "vocab.json": in_json({piece: number for number, piece in enumerate(words.pieces)}),
        "merges.txt": f"#version: 0.2\n{merges}\n",
        "tokenizer_config.json": in_json(about),
        "special_tokens_map.json": in_json(ends),
    }.items():
        (directory / file).write_text(content, encoding="utf-8")


def write_text_encoder(text: TextEncoder, directory: Path) -> None:
    """Writes a text encoder into a directory, by names that every version of transformers reads."""
    _write_model(text_to_transformers(text), "CLIPTextModel", directory)


def write_clip(clip: CLIP, words: Words, directory: Path) -> None:
    """Writes a CLIP into a directory, with its vocabulary and what it sees pictures by, as every version of
    transformers reads them."""
    _write_model(clip_to_transformers(clip), "CLIPModel", directory)
    write_words(words, directory)
    side = {"height": clip.image.size, "width": clip.image.size}
    half = [_HALF] * clip.image.in_channels
    seen = {"image_processor_type": "CLIPImageProcessor", "do_center_crop": False, "do_convert_rgb": True, "size": side}
    told = {**seen, "crop_size": side, "image_mean": half, "image_std": half}
    (directory / _SEEN).write_text(in_json(told), encoding="utf-8")


def read_clip(directory: str | Path) -> tuple[CLIP, Words]:
    """Returns a ``CLIPModel`` as ours, which sees pictures in [−1, 1], and the vocabulary of its tokenizer, by the path
    of their directory or of a pipeline that has one beside it; nothing is unpickled.

    Raises:
        KakusanError: transformers is not installed, there is none, or it has something that ours has not.
    """
    with optional("this", "transformers"):
        from transformers import CLIPModel
    place = Path(directory) / CLIP_FOLDER
    place = place if place.is_dir() else Path(directory)
    try:
        model = whole(CLIPModel.from_pretrained, place).float()
        words = read_words(place, "", model.config.text_config.max_position_embeddings)
        told = json.loads((place / _SEEN).read_text("utf-8"))
        mean, deviation = (torch.tensor(told[name], dtype=torch.float32) for name in ("image_mean", "image_std"))
    # Of a file, of a configuration: its errors have no common class.
    except Exception as error:
        raise KakusanError(
            f"{directory} holds no CLIP: {reason_of(error)} (give the run of one, or the directory of a CLIPModel with "
            f"safetensors, its tokenizer and its {_SEEN})"
        ) from error
    clip = clip_from_transformers(model)
    _take_in(clip.image, mean, deviation)
    return clip, words


@torch.no_grad()
def _take_in(image: ImageEncoder, mean: Tensor, deviation: Tensor) -> None:
    """Takes into weights what pixels are brought to first: squares are not padded, so that what is subtracted from
    pixels adds one vector to each.

    Args:
        image: What sees pixels p in [0, 1] as (p − mean) / deviation, and sees 2p − 1 afterwards.
        mean, deviation: Shape (C,).
    """
    weight = image.squares.weight  # (D, C, P, P)
    image.places.weight[1:] += (weight.sum((2, 3)) * ((_HALF - mean) / deviation)).sum(1)
    weight *= (_HALF / deviation)[:, None, None]


def clip_to_transformers(clip: CLIP) -> CLIPModel:
    """Returns transformers' ``CLIPModel`` with the weights of a CLIP; both give the same vectors.

    Raises:
        KakusanError: transformers is not installed.
    """
    with optional("this", "transformers"):
        from transformers import CLIPConfig, CLIPModel
    image = clip.image
    seen = {
        **_DECIDED,
        "hidden_size": image.width,
        "intermediate_size": 4 * image.width,
        "projection_dim": clip.width,
        "num_hidden_layers": image.layers,
        "num_attention_heads": image.heads,
        "num_channels": image.in_channels,
        "image_size": image.size,
        "patch_size": image.patch,
    }
    read = {**configuration_of(clip.text), "projection_dim": clip.width}
    model = CLIPModel(CLIPConfig(text_config=read, vision_config=seen, projection_dim=clip.width))
    model.load_state_dict(
        {their_clip_name(name): weight.clone() for name, weight in clip.state_dict().items()}, strict=False, assign=True
    )
    trained: CLIPModel = model.train(clip.training)
    return trained


def clip_from_transformers(model: CLIPModel) -> CLIP:
    """Returns our CLIP with the weights of ``model``; both give the same vectors.

    Raises:
        KakusanError: Its configuration has something that ours has not; the field is named.
    """
    seen = model.config.vision_config.to_dict()
    _require_known("CLIPModel", seen)
    image = ImageEncoder(
        seen["num_channels"],
        size=seen["image_size"],
        patch=seen["patch_size"],
        width=seen["hidden_size"],
        layers=seen["num_hidden_layers"],
        heads=seen["num_attention_heads"],
    )
    clip = CLIP(_encoder_of(model.config.text_config.to_dict()), image, model.config.projection_dim)
    weights = model.state_dict()
    clip.load_state_dict({name: weights[their_clip_name(name)].clone() for name in clip.state_dict()}, assign=True)
    return clip.train(model.training)


def configuration_of(text: TextEncoder) -> dict[str, Any]:
    """Returns the arguments of ``CLIPTextConfig`` that correspond to an encoder."""
    return {
        **_DECIDED,
        "vocab_size": text.vocabulary,
        "hidden_size": text.width,
        "intermediate_size": 4 * text.width,
        "projection_dim": text.width,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "max_position_embeddings": text.length,
        "bos_token_id": text.start,
        "eos_token_id": text.end,
        "pad_token_id": text.end,
    }


def _write_model(model: Any, kind: str, directory: Path) -> None:
    model.config.architectures = [kind]
    model.config.save_pretrained(directory)
    told = json.loads((directory / "config.json").read_text("utf-8"))
    # Else transformers would compute in the numbers of the weights, which may be rounded, and diffusers in float32.
    (directory / "config.json").write_text(in_json({**told, "dtype": "float32"}), encoding="utf-8")
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    if kind == "CLIPTextModel":
        weights = prefixed(weights)
    save_file(weights, directory / "model.safetensors", {"format": "pt"})


def in_json(told: Mapping[str, Any]) -> str:
    """Returns the text of a configuration."""
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def prefixed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights of a ``CLIPTextModel`` by names that every version of transformers reads."""
    return {_PREFIX + name.removeprefix(_PREFIX): weight for name, weight in weights.items()}


def their_name(name: str) -> str:
    """Returns what a weight of our text encoder is called in transformers, below any prefix."""
    return renamed(name, _RENAMES)


def their_clip_name(name: str) -> str:
    """Returns what a weight of our CLIP is called in transformers."""
    tower, _, rest = name.partition(".")
    if tower == "text":
        return _PREFIX + their_name(rest)
    return f"vision_model.{renamed(rest, _OF_IMAGES)}" if tower == "image" else _OF_BOTH[name]


def _encoder_of(config: Mapping[str, Any]) -> TextEncoder:
    """Returns the text encoder of a configuration, its weights drawn."""
    _require_known("CLIPTextModel", config)
    return TextEncoder(
        config["vocab_size"],
        length=config["max_position_embeddings"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
    )


def _require_known(kind: str, config: Mapping[str, Any]) -> None:
    decided = {**_DECIDED, "intermediate_size": 4 * config["hidden_size"]}
    for field, known in decided.items():
        if config[field] != known:
            raise KakusanError(f"a {kind} with {field}={config[field]!r} does not convert, only with {known!r}")
