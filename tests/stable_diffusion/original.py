"""A pipeline of diffusers in one file, its tensors called as the authors of Stable Diffusion 1 call them."""

import re

from safetensors.torch import save_file

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE = [
    (r"mid_block\.resnets\.(\d)", lambda it: f"mid.block_{int(it[1]) + 1}"),
    (r"mid_block\.attentions\.0", "mid.attn_1"),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".proj_out."),
    (r"down_blocks\.(\d+)\.resnets", r"down.\1.block"),
    (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d+)\.resnets", r"up.\1.block"),
    (r"up_blocks\.(\d+)\.upsamplers\.0", r"up.\1.upsample"),
    ("conv_shortcut", "nin_shortcut"),
    ("conv_norm_out", "norm_out"),
]


def write_single(pipe, path):
    """Writes the weights of a pipeline of Stable Diffusion 1 into one file."""
    layers = pipe.unet.config["layers_per_block"]
    tensors = {f"model.diffusion_model.{_unet(name, layers)}": it for name, it in pipe.unet.state_dict().items()}
    levels = len(pipe.vae.config["block_out_channels"])
    for name, it in pipe.vae.state_dict().items():
        attention = ".attentions." in name and name.endswith("weight") and it.ndim == 2
        tensors[f"first_stage_model.{_vae(name, levels)}"] = it[:, :, None, None] if attention else it
    for name, it in pipe.text_encoder.state_dict().items():
        tensors[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = it
    save_file({name: it.contiguous() for name, it in tensors.items()}, path)
    return path


def _unet(name, layers):
    for ours, theirs in _OUTSIDE.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        kind, number, rest = found.groups()
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(number)}.{_inside(rest)}"
    side, block, kind, number, rest = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name).groups()
    block, number = int(block), int(number)
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{block * (layers + 1) + layers}.2.{rest}"
    place = block * (layers + 1) + number
    where = f"input_blocks.{1 + place}" if side == "down" else f"output_blocks.{place}"
    return f"{where}.{int(kind == 'attentions')}.{_inside(rest)}"


def _inside(rest):
    first, _, last = rest.partition(".")
    return f"{_RESNET[first]}.{last}" if first in _RESNET else rest


def _vae(name, levels):
    if found := re.match(r"decoder\.up_blocks\.(\d+)\.(.*)", name):
        name = f"decoder.up_blocks.{levels - 1 - int(found[1])}.{found[2]}"
    for pattern, new in _VAE:
        name = re.sub(pattern, new, name)
    return name
