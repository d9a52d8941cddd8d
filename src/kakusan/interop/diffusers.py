"""To and from diffusers: the U-Net's weights both ways, and a third party's U-Net under our denoiser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kakusan.condition import NULL_LABEL, Condition
from kakusan.errors import KakusanError, optional
from kakusan.networks import UNet

if TYPE_CHECKING:
    from diffusers import UNet2DModel

# What UNet2DModel leaves open and our U-Net has decided, with the values that mean the same.
_DECIDED: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "flip_sin_to_cos": (False, True),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "downsample_type": ("conv",),
    "upsample_type": ("conv",),
    "act_fn": ("silu", "swish"),
    "class_embed_type": (None,),
    "resnet_time_scale_shift": ("default", "scale_shift"),
}

# What our U-Net and UNet2DModel both leave open, by our names.
_SHARED = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "channels": "block_out_channels",
    "blocks": "layers_per_block",
    "middle_attention": "add_attention",
    "head_channels": "attention_head_dim",
    "groups": "norm_num_groups",
    "norm_eps": "norm_eps",
    "dropout": "dropout",
    "freq_shift": "freq_shift",
    "downsample_padding": "downsample_padding",
}

_AS_IT_IS = "run it as it is: kakusan.interop.wrap(unet, scheduler)"

_WAVES = "time_embedding.linear_1.weight"  # of what the sines and cosines of time go through

# Our names to theirs, applied one after the other: first where a weight lies, then what it is called there.
_RENAMES = [
    (r"^time_embedding\.linear", "time_embedding.linear_"),
    (r"^input\.", "conv_in."),
    (r"^output_norm\.", "conv_norm_out."),
    (r"^output\.", "conv_out."),
    (r"^(down|up)\.(\d+)\.stages\.(\d+)\.residual\.", r"\1_blocks.\2.resnets.\3."),
    (r"^(down|up)\.(\d+)\.stages\.(\d+)\.attention\.", r"\1_blocks.\2.attentions.\3."),
    (r"^(down|up)\.(\d+)\.(down|up)sample\.", r"\1_blocks.\2.\3samplers.0.conv."),
    (r"^middle\.(\d)\.residual\.", r"mid_block.resnets.\1."),
    (r"^middle\.0\.attention\.", "mid_block.attentions.0."),
    (r"\.time\.", ".time_emb_proj."),
    (r"\.shortcut\.", ".conv_shortcut."),
    (r"\.norm\.", ".group_norm."),
    (r"\.(q|k|v)(?:uery|ey|alue)\.", r".to_\1."),
    (r"\.output\.", ".to_out.0."),
]


def unet_from_diffusers(model: UNet2DModel) -> UNet:
    """Returns our U-Net with the weights of ``model``; both give the same output.

    The last of its ``num_class_embeds``, if it has any, becomes the null class.

    Raises:
        KakusanError: Its configuration has something that our U-Net has not, or refuses; the field is named.
    """
    arguments = _arguments(model.config)
    try:
        network = UNet(**arguments)
    except KakusanError as error:
        raise KakusanError(f"this UNet2DModel does not convert: {_AS_IT_IS} (our own refuses it: {error})") from error
    weights = model.state_dict()
    if model.config["flip_sin_to_cos"]:  # their embedding begins with the cosines
        weights[_WAVES] = _halves_exchanged(weights[_WAVES])
    # Assigned as copies, so that device and dtype come along.
    network.load_state_dict({name: weights[their_name(name)].clone() for name in network.state_dict()}, assign=True)
    return network.train(model.training)


def unet_to_diffusers(network: UNet, sample_size: int | tuple[int, int]) -> UNet2DModel:
    """Returns diffusers' U-Net with the weights of ``network``; both give the same output.

    The null class, if there are classes, becomes the last of ``num_class_embeds``.

    Args:
        network: Ours.
        sample_size: Height and width, or both in one, of the images that diffusers' pipelines will draw.

    Raises:
        KakusanError: diffusers is not installed.
    """
    model = _new_unet2d(sample_size=sample_size, **_configuration(network))
    weights = network.state_dict()
    model.load_state_dict({their_name(name): weight.clone() for name, weight in weights.items()}, assign=True)
    return model.train(network.training)


class DiffusersNetwork(nn.Module):
    """A ``UNet2DModel`` of any configuration, called as our networks are: ``network(x, clock, condition)``.

    Args:
        model: The U-Net; its time step is our clock. If it has classes, the last of them stands for the null class.

    Raises:
        KakusanError: The model's class embedding is not a table of labels.
    """

    def __init__(self, model: UNet2DModel) -> None:
        super().__init__()
        if model.config["class_embed_type"] is not None:
            raise KakusanError(
                f"class_embed_type {model.config['class_embed_type']!r} takes no labels: only a U-Net with "
                "num_class_embeds, or without classes, can be called with a condition"
            )
        self.model = model

    def forward(self, x: Tensor, clock: Tensor, condition: Condition | None = None) -> Tensor:
        """Returns the model's sample, shape (B, out_channels, H, W); see :meth:`UNet.forward` for the arguments."""
        count = self.model.config["num_class_embeds"]
        if count is None:
            if condition is not None:
                raise KakusanError("this UNet2DModel has no num_class_embeds and takes no condition")
            labels = None
        elif condition is None:
            labels = torch.full_like(clock, count - 1, dtype=torch.long)
        else:
            labels = condition.labels.masked_fill(condition.labels == NULL_LABEL, count - 1)
        sample: Tensor = self.model(x, clock, class_labels=labels).sample
        return sample


def their_name(name: str) -> str:
    """Returns what a weight of our networks is called in diffusers."""
    for ours, theirs in _RENAMES:
        name = re.sub(ours, theirs, name)
    return name


def _halves_exchanged(weight: Tensor) -> Tensor:
    """Returns a matrix with the halves of its columns exchanged; the last of an odd number stays."""
    half = weight.shape[1] // 2
    return torch.cat([weight[:, half : 2 * half], weight[:, :half], weight[:, 2 * half :]], dim=1)


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of our U-Net that correspond to a ``UNet2DModel``'s configuration."""
    for field, known in _DECIDED.items():
        if config[field] not in known:
            raise _not_ours(field, config[field], known)
    channels, groups = config["block_out_channels"], config["norm_num_groups"]
    scale_shift = config["resnet_time_scale_shift"] == "scale_shift"
    if config["time_embedding_dim"] not in (None, 4 * channels[0]):
        raise _not_ours("time_embedding_dim", config["time_embedding_dim"], [4 * channels[0]])
    if config["add_attention"] and (config["attn_norm_num_groups"] or (None if scale_shift else groups)) != groups:
        raise _not_ours("attn_norm_num_groups", config["attn_norm_num_groups"], [groups])

    attention_levels = [level for level, kind in enumerate(config["down_block_types"]) if kind.startswith("Attn")]
    for field, kinds in _block_types(len(channels), attention_levels).items():
        if tuple(config[field]) != kinds:
            raise _not_ours(field, tuple(config[field]), [kinds])
    return {
        **{ours: config[theirs] for ours, theirs in _SHARED.items()},
        "attention_levels": attention_levels,
        "scale_shift": scale_shift,
        "classes": None if config["num_class_embeds"] is None else config["num_class_embeds"] - 1,
    }


def _configuration(network: UNet) -> dict[str, Any]:
    """Returns the arguments of ``UNet2DModel`` that correspond to one of our U-Nets."""
    return {
        **{field: known[0] for field, known in _DECIDED.items()},
        **_block_types(len(network.channels), network.attention_levels),
        **{theirs: getattr(network, ours) for ours, theirs in _SHARED.items()},
        # Without it, scale and shift would leave the attention in the middle without a normalisation.
        "attn_norm_num_groups": network.groups,
        "resnet_time_scale_shift": "scale_shift" if network.scale_shift else "default",
        "num_class_embeds": None if network.classes is None else network.classes + 1,
    }


def _block_types(levels: int, attention_levels: Iterable[int]) -> dict[str, tuple[str, ...]]:
    kinds = ["Attn" if level in attention_levels else "" for level in range(levels)]
    return {
        "down_block_types": tuple(f"{kind}DownBlock2D" for kind in kinds),
        "up_block_types": tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
    }


def _not_ours(field: str, value: object, known: Iterable[object]) -> KakusanError:
    choices = " or ".join(repr(choice) for choice in known)
    return KakusanError(f"a UNet2DModel with {field}={value!r} does not convert, only one with {choices}: {_AS_IT_IS}")


def _new_unet2d(**configuration: Any) -> UNet2DModel:
    with optional("this", "diffusers"):
        from diffusers import UNet2DModel
    return UNet2DModel(**configuration)
