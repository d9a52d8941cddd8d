"""To and from diffusers: the U-Net's weights both ways, with text or without, and its call as one of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kakusan.condition import Condition
from kakusan.errors import KakusanError, optional
from kakusan.networks import UNet

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel, UNet2DModel

# What diffusers leaves open and our U-Net has decided, with the values that mean the same.
_DECIDED: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "flip_sin_to_cos": (False, True),
    "mid_block_scale_factor": (1,),
    "act_fn": ("silu", "swish"),
    "class_embed_type": (None,),
    "resnet_time_scale_shift": ("default", "scale_shift"),
}
_DECIDED_WITHOUT_TEXT = {
    **_DECIDED,
    "mid_block_type": ("UNetMidBlock2D",),
    "downsample_type": ("conv",),
    "upsample_type": ("conv",),
}
_DECIDED_WITH_TEXT: dict[str, tuple[Any, ...]] = {
    **_DECIDED,
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "only_cross_attention": (False,),
    "mid_block_only_cross_attention": (None, False),
    "transformer_layers_per_block": (1,),
    "encoder_hid_dim": (None,),
    "dual_cross_attention": (False,),
    "use_linear_projection": (True, False),
    "addition_embed_type": (None,),
    "resnet_skip_time_act": (False,),
    "resnet_out_scale_factor": (1.0,),
    "time_embedding_act_fn": (None,),
    "timestep_post_act": (None,),
    "time_cond_proj_dim": (None,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "attention_type": ("default",),
    "class_embeddings_concat": (False,),
    "cross_attention_norm": (None,),
}

# What our U-Net and those of diffusers both leave open, by our names.
_SHARED = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "channels": "block_out_channels",
    "blocks": "layers_per_block",
    "groups": "norm_num_groups",
    "norm_eps": "norm_eps",
    "dropout": "dropout",
    "freq_shift": "freq_shift",
    "downsample_padding": "downsample_padding",
}
_SHARED_WITHOUT_TEXT = {**_SHARED, "middle_attention": "add_attention", "head_channels": "attention_head_dim"}

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
]
_QUERIES = (r"\.(q|k|v)(?:uery|ey|alue)\.", r".to_\1.")
_RENAMES_WITHOUT_TEXT = [*_RENAMES, (r"\.norm\.", ".group_norm."), _QUERIES, (r"\.output\.", ".to_out.0.")]
_RENAMES_WITH_TEXT = [
    *_RENAMES,
    _QUERIES,
    (r"\.input\.", ".proj_in."),
    (r"(\.attentions\.\d+)\.output\.", r"\1.proj_out."),
    (r"(\.attentions\.\d+)\.(norm\d|pixels|words|feed)\.", r"\1.transformer_blocks.0.\2."),
    (r"\.feed\.gate\.", ".ff.net.0.proj."),
    (r"\.feed\.output\.", ".ff.net.2."),
    (r"\.pixels\.", ".attn1."),
    (r"\.words\.", ".attn2."),
    (r"\.output\.", ".to_out.0."),
]


def unet_from_diffusers(model: UNet2DModel | UNet2DConditionModel) -> UNet:
    """Returns our U-Net with the weights of ``model``; both give the same output.

    The last of its ``num_class_embeds``, if it has any, becomes the null class.

    Raises:
        KakusanError: Its configuration has something that our U-Net has not, or refuses; the field is named.
    """
    kind, reads_text = type(model).__name__, "cross_attention_dim" in model.config
    arguments = _with_text(model.config, kind) if reads_text else _without_text(model.config, kind)
    try:
        network = UNet(**arguments)
    except KakusanError as error:
        raise KakusanError(f"this {kind} does not convert: {_AS_IT_IS} (our own refuses it: {error})") from error
    weights = model.state_dict()
    if model.config["flip_sin_to_cos"]:  # their embedding begins with the cosines
        weights[_WAVES] = _halves_exchanged(weights[_WAVES])

    def of(name: str, ours: Tensor) -> Tensor:
        # As copies, so that device and dtype come along. A convolution of size 1 is a layer of its own to each pixel.
        weight: Tensor = weights[their_name(name, reads_text)].clone()
        return weight.view(ours.shape)

    network.load_state_dict({name: of(name, ours) for name, ours in network.state_dict().items()}, assign=True)
    return network.train(model.training)


def unet_to_diffusers(network: UNet, sample_size: int | tuple[int, int]) -> UNet2DModel | UNet2DConditionModel:
    """Returns diffusers' U-Net with the weights of ``network``; both give the same output. One that reads text becomes
    a ``UNet2DConditionModel``.

    The null class, if there are classes, becomes the last of ``num_class_embeds``.

    Args:
        network: Ours.
        sample_size: Height and width, or both in one, of the images that diffusers' pipelines will draw.

    Raises:
        KakusanError: diffusers is not installed.
    """
    with optional("this", "diffusers"):
        from diffusers import UNet2DConditionModel, UNet2DModel
    reads_text = network.text_width is not None
    kind = UNet2DConditionModel if reads_text else UNet2DModel
    model = kind(sample_size=sample_size, **_configuration(network))
    weights = {their_name(name, reads_text): weight.clone() for name, weight in network.state_dict().items()}
    model.load_state_dict(weights, assign=True)
    trained: UNet2DModel | UNet2DConditionModel = model.train(network.training)
    return trained


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
            labels = condition.labels_or(count - 1)
        sample: Tensor = self.model(x, clock, class_labels=labels).sample
        return sample


def their_name(name: str, reads_text: bool = False) -> str:
    """Returns what a weight of our networks is called in diffusers."""
    return renamed(name, _RENAMES_WITH_TEXT if reads_text else _RENAMES_WITHOUT_TEXT)


def renamed(name: str, rules: Iterable[tuple[str, str]]) -> str:
    """Returns a name after all rules, patterns with what takes their place, one after the other."""
    for ours, theirs in rules:
        name = re.sub(ours, theirs, name)
    return name


def _halves_exchanged(weight: Tensor) -> Tensor:
    """Returns a matrix with the halves of its columns exchanged; the last of an odd number stays."""
    half = weight.shape[1] // 2
    return torch.cat([weight[:, half : 2 * half], weight[:, :half], weight[:, 2 * half :]], dim=1)


def _without_text(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Returns the arguments of our U-Net that correspond to a ``UNet2DModel``'s configuration."""
    common = _common(config, kind, _DECIDED_WITHOUT_TEXT, "Attn")
    groups = config["norm_num_groups"]
    if config["add_attention"]:
        own = config["attn_norm_num_groups"] or (None if common["scale_shift"] else groups)
        if own != groups:
            raise _not_ours(kind, "attn_norm_num_groups", config["attn_norm_num_groups"], [groups])
    return {**common, **{ours: config[theirs] for ours, theirs in _SHARED_WITHOUT_TEXT.items()}}


def _with_text(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Returns the arguments of our U-Net that correspond to a ``UNet2DConditionModel``'s configuration."""
    common = _common(config, kind, _DECIDED_WITH_TEXT, "CrossAttn")
    channels, heads = config["block_out_channels"], config["attention_head_dim"]  # which are heads, for all their name
    each = heads if isinstance(heads, (list, tuple)) else [heads] * len(channels)
    attended = sorted({*common["attention_levels"], len(channels) - 1})  # the middle is as wide as the last
    single = all(each[level] == 1 for level in attended)
    widths = {None if single else channels[level] // each[level] for level in attended}
    if len(widths) > 1:
        raise _not_ours(kind, "attention_head_dim", heads, ["heads of one width at all levels"])
    if not isinstance(config["cross_attention_dim"], int):
        raise _not_ours(kind, "cross_attention_dim", config["cross_attention_dim"], ["a single width"])
    return {
        **common,
        **{ours: config[theirs] for ours, theirs in _SHARED.items()},
        "head_channels": widths.pop(),
        "text_width": config["cross_attention_dim"],
    }


def _common(
    config: Mapping[str, Any], kind: str, decided: Mapping[str, tuple[Any, ...]], attending: str
) -> dict[str, Any]:
    """Returns the arguments that correspond to fields that both kinds of their U-Nets have."""
    for field, known in decided.items():
        if config[field] not in known:
            raise _not_ours(kind, field, config[field], known)
    channels = config["block_out_channels"]
    if config["time_embedding_dim"] not in (None, 4 * channels[0]):
        raise _not_ours(kind, "time_embedding_dim", config["time_embedding_dim"], [4 * channels[0]])
    levels = [level for level, block in enumerate(config["down_block_types"]) if block.startswith(attending)]
    for field, blocks in _block_types(len(channels), levels, attending).items():
        if tuple(config[field]) != blocks:
            raise _not_ours(kind, field, tuple(config[field]), [blocks])
    return {
        "attention_levels": levels,
        "scale_shift": config["resnet_time_scale_shift"] == "scale_shift",
        "classes": None if config["num_class_embeds"] is None else config["num_class_embeds"] - 1,
    }


def _configuration(network: UNet) -> dict[str, Any]:
    """Returns the arguments of diffusers' U-Net that correspond to one of ours."""
    reads_text = network.text_width is not None
    attending = "CrossAttn" if reads_text else "Attn"
    shared = _SHARED if reads_text else _SHARED_WITHOUT_TEXT
    decided = _DECIDED_WITH_TEXT if reads_text else _DECIDED_WITHOUT_TEXT
    told = {
        **{field: known[0] for field, known in decided.items()},
        **_block_types(len(network.channels), network.attention_levels, attending),
        **{theirs: getattr(network, ours) for ours, theirs in shared.items()},
        "resnet_time_scale_shift": "scale_shift" if network.scale_shift else "default",
        "num_class_embeds": None if network.classes is None else network.classes + 1,
    }
    if not reads_text:
        # Without it, scale and shift would leave the attention in the middle without a normalisation.
        return {**told, "attn_norm_num_groups": network.groups}
    heads = tuple(width // (network.head_channels or width) for width in network.channels)
    return {**told, "cross_attention_dim": network.text_width, "attention_head_dim": heads}


def _block_types(levels: int, attention_levels: Iterable[int], attending: str) -> dict[str, tuple[str, ...]]:
    kinds = [attending if level in attention_levels else "" for level in range(levels)]
    return {
        "down_block_types": tuple(f"{kind}DownBlock2D" for kind in kinds),
        "up_block_types": tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
    }


def _not_ours(kind: str, field: str, value: object, known: Iterable[object]) -> KakusanError:
    choices = " or ".join(repr(choice) for choice in known)
    return KakusanError(f"a {kind} with {field}={value!r} does not convert, only one with {choices}: {_AS_IT_IS}")
