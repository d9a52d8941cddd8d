"""To and from diffusers: the autoencoder's weights both ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kakusan.errors import KakusanError, optional, reason_of
from kakusan.interop.diffusers import their_name
from kakusan.interop.loading import whole
from kakusan.networks.autoencoder import Autoencoder

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

# What both leave open, by our names.
_SHARED = {
    "in_channels": "in_channels",
    "latent_channels": "latent_channels",
    "channels": "block_out_channels",
    "blocks": "layers_per_block",
    "middle_attention": "mid_block_add_attention",
    "groups": "norm_num_groups",
}


def autoencoder_from_diffusers(model: AutoencoderKL) -> Autoencoder:
    """Returns our autoencoder with the weights of ``model``, and its shift and scaling factor; both give the same.

    Ours has them inside: its latents are (theirs − shift_factor) · scaling_factor.

    Raises:
        KakusanError: Its configuration has something that ours has not; the field is named.
    """
    config = model.config
    if config["act_fn"] not in ("silu", "swish"):
        raise _not_ours("act_fn", config["act_fn"], "silu")
    levels = len(config["block_out_channels"])
    for field, kind in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
        if tuple(config[field]) != (kind,) * levels:
            raise _not_ours(field, tuple(config[field]), (kind,) * levels)
    if config["in_channels"] != config["out_channels"]:
        raise _not_ours("out_channels", config["out_channels"], config["in_channels"])
    network = Autoencoder(**{ours: config[theirs] for ours, theirs in _SHARED.items()})
    weights = _identities(model) | model.state_dict()
    state = {name: weights[_their_name(name)].clone() for name, _ in network.named_parameters()}
    shift, scale = _scaling(config, network.shift)
    network.load_state_dict({**state, "shift": shift, "scale": scale}, assign=True)
    return network.train(model.training)


def read_autoencoder(name: str | Path) -> AutoencoderKL:
    """Returns an ``AutoencoderKL`` by the path of its directory, or its name on the hub.

    Raises:
        KakusanError: diffusers is not installed, or there is none: of files that are pickles none is read.
    """
    with optional("this", "diffusers"):
        from diffusers import AutoencoderKL
    try:
        model: AutoencoderKL = whole(AutoencoderKL.from_pretrained, name)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise KakusanError(
            f"there is no autoencoder {name}: {reason_of(error)} (give the run of one, or the directory or the name of "
            "an AutoencoderKL with safetensors)"
        ) from error
    return model


def autoencoder_to_diffusers(network: Autoencoder, sample_size: int) -> AutoencoderKL:
    """Returns diffusers' autoencoder with the weights of ``network``; both give the same latents and images.

    Its scaling factor is 1 and its shift 0: ours are inside the convolutions beside the latents, since Stable
    Diffusion's pipelines ignore a shift.

    Args:
        network: Ours.
        sample_size: Height and width of the images, beyond which diffusers cuts them into tiles where asked.

    Raises:
        KakusanError: diffusers is not installed.
    """
    with optional("this", "diffusers"):
        from diffusers import AutoencoderKL
    levels = len(network.channels)
    model = AutoencoderKL(
        out_channels=network.in_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        sample_size=sample_size,
        scaling_factor=1.0,
        **{theirs: getattr(network, ours) for ours, theirs in _SHARED.items()},
    )
    state = {_their_name(name): weight.detach().clone() for name, weight in network.named_parameters()}
    model.load_state_dict(_folded(state, network.shift.flatten(), network.scale.flatten()), assign=True)
    return model.train(network.training)


def _identities(model: AutoencoderKL) -> dict[str, Tensor]:
    """Returns convolutions beside the latents that change nothing: ours always has them, some of theirs do without."""
    channels = model.config["latent_channels"]
    found = {}
    for name, width in (("quant_conv", 2 * channels), ("post_quant_conv", channels)):
        found[f"{name}.weight"] = torch.eye(width, dtype=model.dtype, device=model.device)[:, :, None, None]
        found[f"{name}.bias"] = torch.zeros(width, dtype=model.dtype, device=model.device)
    return found


def _folded(state: Mapping[str, Tensor], shift: Tensor, scale: Tensor) -> dict[str, Tensor]:
    """Returns weights whose convolutions beside the latents bring these to (raw − shift) · scale, and back."""
    both = torch.cat([scale, torch.ones_like(scale)])
    offset = torch.cat([-shift * scale, 2 * scale.log()])  # the second half is the logarithm of a variance
    weight, inverse = state["quant_conv.weight"], state["post_quant_conv.weight"]
    return {
        **state,
        "quant_conv.weight": weight * both[:, None, None, None],
        "quant_conv.bias": state["quant_conv.bias"] * both + offset,
        "post_quant_conv.weight": inverse / scale[:, None, None],
        "post_quant_conv.bias": state["post_quant_conv.bias"] + inverse[:, :, 0, 0] @ shift,
    }


def _scaling(config: Mapping[str, Any], like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns shift and scale, shape (L, 1, 1) each, of a configuration: one of all channels, or one of each."""
    means, deviations = config["latents_mean"], config["latents_std"]
    if means is not None and deviations is not None:
        given = (torch.tensor(means), config["scaling_factor"] / torch.tensor(deviations))
        shift, scale = (it.to(like)[:, None, None] for it in given)
        return shift, scale
    shift, scale = config["shift_factor"] or 0.0, config["scaling_factor"]
    return torch.full_like(like, shift), torch.full_like(like, scale)


def _their_name(name: str) -> str:
    part, _, rest = name.partition(".")
    if part in ("encoder", "decoder"):
        return f"{part}.{their_name(rest)}"
    return {"quantize": "quant_conv", "dequantize": "post_quant_conv"}[part] + f".{rest}"


def _not_ours(field: str, value: object, known: object) -> KakusanError:
    return KakusanError(
        f"an AutoencoderKL with {field}={value!r} does not convert, only one with {known!r}: run it as it is"
    )
