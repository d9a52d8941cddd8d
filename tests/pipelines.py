"""Whole pipelines of the shapes of Stable Diffusion 1.5, 2.1, SDXL and its refiner, so small that they are made at
once; their weights mean nothing."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

import kakusan

FAMILIES = ("sd15", "sd21", "sdxl")
WIDTH = {"sd15": 32, "sd21": 32, "sdxl": 64, "refiner": 32}
"""Of the encodings of a prompt."""
_TOKENIZER = Path(kakusan.__file__).parent / "mini" / "tokenizer"
_CHAIN = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
_WORDS = {"vocab_size": 631, "bos_token_id": 629, "eos_token_id": 630, "pad_token_id": 630}


def _tokenizer():
    return CLIPTokenizer.from_pretrained(_TOKENIZER)


def _text(kind, act="quick_gelu"):
    config = CLIPTextConfig(
        hidden_size=32,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=24,
        projection_dim=32,
        hidden_act=act,
        **_WORDS,
    )
    return kind(config).eval()


def _autoencoder():
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
        layers_per_block=1,
        sample_size=16,
    ).eval()


def _unet(family, **more):
    config = {
        "sample_size": 8,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 8,
        "cross_attention_dim": WIDTH[family],
        "norm_num_groups": 8,
        "use_linear_projection": family != "sd15",
    }
    if family in ("sdxl", "refiner"):
        about = 6 if family == "sdxl" else 5
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": about * 8 + 32,
        }
    return UNet2DConditionModel(**{**config, **more}).eval()


def pipeline(family, seed=0, **unet):
    """Returns a pipeline with random weights, which draws 16×16 pixels; fields of its U-Net may be told."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = {"unet": _unet(family, **unet), "vae": _autoencoder()}
        if family in ("sd15", "sd21"):
            chain = {"prediction_type": "v_prediction"} if family == "sd21" else {}
            return StableDiffusionPipeline(
                **parts,
                text_encoder=_text(CLIPTextModel, "gelu" if family == "sd21" else "quick_gelu"),
                tokenizer=_tokenizer(),
                scheduler=DDIMScheduler(**_CHAIN, **chain, clip_sample=False, set_alpha_to_one=False),
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
            )
        first = family == "sdxl"
        kind = StableDiffusionXLPipeline if first else StableDiffusionXLImg2ImgPipeline
        return kind(
            **parts,
            text_encoder=_text(CLIPTextModel) if first else None,
            tokenizer=_tokenizer() if first else None,
            text_encoder_2=_text(CLIPTextModelWithProjection, "gelu"),
            tokenizer_2=_tokenizer(),
            scheduler=EulerDiscreteScheduler(**_CHAIN),
            **({} if first else {"requires_aesthetics_score": True}),
            add_watermarker=False,
        )


def saved(family, directory, **more):
    """Writes such a pipeline, and returns where."""
    pipeline(family, **more).save_pretrained(directory)
    return directory


def checked(pipe):
    """Gives a pipeline a safety checker that finds fault with everything, and returns it."""
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(text_config=small, vision_config={**small, "image_size": 8, "patch_size": 4}, projection_dim=16)
    checker = StableDiffusionSafetyChecker(config)
    checker.concept_embeds_weights.data.fill_(-9.0)
    pipe.register_modules(safety_checker=checker, feature_extractor=CLIPImageProcessor(size=8, crop_size=8))
    pipe.register_to_config(requires_safety_checker=True)
    return pipe
