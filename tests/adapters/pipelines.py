"""Pipelines of the shapes of Stable Diffusion 1 and SDXL, so small that they are made at once, and adapters of them."""

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from kakusan.adapters import Adapter

WIDTH = {"sd": 32, "sdxl": 64}
LAYERS = {
    "unet": ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.0.proj", "conv1", "time_emb_proj", "conv_shortcut"),
    "text_encoder": ("q_proj", "out_proj", "fc1"),
}
"""Ends of names of layers, some linear and some convolutions."""


def _text(kind):
    config = CLIPTextConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8,
        projection_dim=32,
        bos_token_id=0,
        eos_token_id=1,
    )
    return kind(config).eval()


def pipeline(family, seed=0, channels=(32, 64)):
    torch.manual_seed(seed)
    config = {
        "sample_size": 8,
        "block_out_channels": channels,
        "layers_per_block": 2,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 8,
        "cross_attention_dim": WIDTH[family],
        "norm_num_groups": 8,
    }
    vae = AutoencoderKL(block_out_channels=(16,), norm_num_groups=8, layers_per_block=1, sample_size=8)
    parts = {
        "vae": vae.eval(),
        "text_encoder": _text(CLIPTextModel),
        "tokenizer": None,
        "scheduler": DDIMScheduler(steps_offset=1),
    }
    if family == "sd":
        unet = UNet2DConditionModel(**config).eval()
        made = StableDiffusionPipeline(
            **parts, unet=unet, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    else:
        added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
        size = {"projection_class_embeddings_input_dim": 6 * 8 + 32, "use_linear_projection": True}
        unet = UNet2DConditionModel(**config, **added, **size).eval()
        second = _text(CLIPTextModelWithProjection)
        made = StableDiffusionXLPipeline(**parts, unet=unet, text_encoder_2=second, tokenizer_2=None)
    return made


@torch.no_grad()
def outputs(pipe):
    """Returns what every part of a pipeline that an adapter may change makes of something."""
    draw = torch.Generator().manual_seed(5)
    ids = torch.tensor([[0, 7, 3, 9, 1, 1, 1, 1], [0, 2, 8, 1, 1, 1, 1, 1]])
    width = pipe.unet.config["cross_attention_dim"]
    given = {"encoder_hidden_states": torch.randn(2, 8, width, generator=draw)}
    if hasattr(pipe, "text_encoder_2"):
        added = {"text_embeds": torch.randn(2, 32, generator=draw), "time_ids": torch.ones(2, 6)}
        given["added_cond_kwargs"] = added
    found = [pipe.unet(torch.randn(2, 4, 8, 8, generator=draw), torch.tensor([9, 700]), **given).sample]
    for part in ("text_encoder", "text_encoder_2"):
        if hasattr(pipe, part):
            found.append(getattr(pipe, part)(ids)[0])
    return found


@torch.no_grad()
def changed(family, *weighted):
    """Returns a pipeline whose weights have become W + weight · alpha / rank · B·A, as adapters of it say."""
    made = pipeline(family)
    for adapter, weight in weighted:
        for layer, rank in adapter.ranks.items():
            part, _, rest = layer.partition(".")
            module = getattr(made, part)
            own = module.get_submodule(rest if rest in dict(module.named_modules()) else rest.split(".", 1)[1])
            down, up = adapter.factors(layer)
            own.weight += (weight * adapter.alphas[layer] / rank * up.flatten(1) @ down.flatten(1)).view_as(own.weight)
    return made


def apart(ones, others):
    """Returns the largest difference of outputs."""
    return max((one - other).abs().max().item() for one, other in zip(ones, others, strict=True))


def adapter(pipe, seed=1, ranks=(4,), alphas=(4.0,), ends=LAYERS, name="one"):
    """Returns an adapter of random weights, whose layers have these ranks and alphas in turn."""
    draw = torch.Generator().manual_seed(seed)
    weights, found = {}, {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        for layer, module in getattr(pipe, part, torch.nn.Module()).named_modules():
            if not f".{layer}".endswith(tuple(f".{end}" for end in ends.get(part.removesuffix("_2"), ()))):
                continue
            rank, alpha = ranks[len(found) % len(ranks)], alphas[len(found) % len(alphas)]
            out, *into = module.weight.shape
            up = (out, rank, *(1 for _ in into[1:]))
            weights[f"{part}.{layer}.lora_A.weight"] = torch.randn(rank, *into, generator=draw) / 8
            weights[f"{part}.{layer}.lora_B.weight"] = torch.randn(up, generator=draw) / 8
            found[f"{part}.{layer}"] = alpha
    return Adapter(weights, found, name=name)
