"""How the layers of a LoRA are called: peft's names, in all the ways that diffusers has written them, and kohya's."""

from __future__ import annotations

import re

from kakusan.errors import KakusanError

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
"""What peft calls the two matrices of a layer."""

BLOCK_LAYERS = 2
"""Residual layers of a block of SDXL's U-Net, which its names in kohya's layout count."""

_TEXT = re.compile(r"^(text_encoder(?:_2)?)\.(?=encoder\.|embeddings\.|final_layer_norm)")
_FACTOR = re.compile(r"(?:_lora|\.lora|\.lora_linear_layer)\.(down|up)\.weight$")
_PROJECTIONS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}

_RESNET = {
    "conv1": "in_layers_2",
    "conv2": "out_layers_3",
    "time_emb_proj": "emb_layers_1",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks_0_0",
    "conv_out": "out_2",
    "time_embedding.linear_1": "time_embed_0",
    "time_embedding.linear_2": "time_embed_2",
    "add_embedding.linear_1": "label_emb_0_0",
    "add_embedding.linear_2": "label_emb_0_2",
}
"""What Stability AI calls the layers of SDXL's U-Net, as does kohya."""


def canonical(name: str) -> str:
    """Returns the name of a layer or a tensor as files have it: newer transformers leave out ``text_model``."""
    return _TEXT.sub(r"\1.text_model.", name)


def peft(name: str) -> str:
    """Returns the name of a tensor as peft has it, however diffusers wrote it."""
    name = name.replace(".processor.", ".")
    if (found := _FACTOR.search(name)) is not None:
        layer, ending = name[: found.start()], DOWN if found[1] == "down" else UP
        before, _, last = layer.rpartition(".")
        if before.endswith("self_attn"):
            layer = f"{before}.{_PROJECTIONS.get(last, last)}"
        elif last == "to_out":
            layer = f"{layer}.0"
        name = layer + ending
    return canonical(name)


def kohya(layer: str, family: str) -> str:
    """Returns what kohya calls a layer, in a model of a family.

    Args:
        layer: Its name as :class:`kakusan.adapters.Adapter` has it.
        family: ``sd``, with diffusers' names, or ``sdxl``, with Stability AI's.

    Raises:
        KakusanError: The family has no such layer.
    """
    part, _, rest = layer.partition(".")
    prefixes = {"unet": "lora_unet", "text_encoder": "lora_te1" if family == "sdxl" else "lora_te"}
    if family == "sdxl":
        prefixes["text_encoder_2"] = "lora_te2"
    if part not in prefixes:
        raise KakusanError(f"{layer} is of SDXL, and Stable Diffusion 1 and 2 have no such layer (--family sdxl)")
    name = _sdxl(rest) if part == "unet" and family == "sdxl" else rest
    return f"{prefixes[part]}_{name.replace('.', '_')}"


def _sdxl(layer: str) -> str:
    """Returns what Stability AI calls a layer of SDXL's U-Net."""
    if layer in _OUTSIDE:
        return _OUTSIDE[layer]
    match layer.split("."):
        case ["down_blocks", block, "downsamplers", _, "conv"]:
            return f"input_blocks_{(int(block) + 1) * (BLOCK_LAYERS + 1)}_0_op"
        case ["down_blocks", block, kind, index, *rest] if int(index) < BLOCK_LAYERS:
            place = f"input_blocks_{1 + int(block) * (BLOCK_LAYERS + 1) + int(index)}"
        case ["mid_block", kind, index, *rest] if int(index) < 2:
            return f"middle_block_{1 if kind == 'attentions' else 2 * int(index)}_{_inside(kind, rest)}"
        case ["up_blocks", block, "upsamplers", _, "conv"]:
            return f"output_blocks_{int(block) * (BLOCK_LAYERS + 1) + BLOCK_LAYERS}_2_conv"
        case ["up_blocks", block, kind, index, *rest] if int(index) <= BLOCK_LAYERS:
            place = f"output_blocks_{int(block) * (BLOCK_LAYERS + 1) + int(index)}"
        case _:
            raise KakusanError(f"{layer} is no layer of SDXL's U-Net (write it in diffusers' layout)")
    return f"{place}_{1 if kind == 'attentions' else 0}_{_inside(kind, rest)}"


def _inside(kind: str, rest: list[str]) -> str:
    return "_".join(rest) if kind == "attentions" else _RESNET["_".join(rest)]
