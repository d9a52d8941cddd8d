"""To and from transformers: the weights of a text encoder, in the layout of CLIP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from kakusan.errors import KakusanError, optional
from kakusan.networks import TextEncoder

if TYPE_CHECKING:
    from transformers import CLIPTextModel

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
    config = model.config.to_dict()
    for field, known in _DECIDED.items():
        if config[field] != known:
            raise KakusanError(f"a CLIPTextModel with {field}={config[field]!r} does not convert, only with {known!r}")
    if config["intermediate_size"] != 4 * config["hidden_size"]:
        raise KakusanError(
            f"a CLIPTextModel with intermediate_size={config['intermediate_size']} does not convert, only with "
            f"{4 * config['hidden_size']}, four times its hidden_size"
        )
    text = TextEncoder(
        config["vocab_size"],
        length=config["max_position_embeddings"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
    )
    weights = {name.removeprefix(_PREFIX): weight for name, weight in model.state_dict().items()}
    text.load_state_dict({name: weights[their_name(name)].clone() for name in text.state_dict()}, assign=True)
    return text.train(model.training)


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


def prefixed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights of a ``CLIPTextModel`` by names that every version of transformers reads."""
    return {_PREFIX + name.removeprefix(_PREFIX): weight for name, weight in weights.items()}


def their_name(name: str) -> str:
    """Returns what a weight of our text encoder is called in transformers, below any prefix."""
    for ours, theirs in _RENAMES:
        name = re.sub(ours, theirs, name)
    return name
