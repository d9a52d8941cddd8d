"""Networks that can be configured, told apart by ``kind``."""

from typing import Annotated, Literal

from pydantic import Field

from kakusan.config.values import Count, Positive, Section, ShareBelowOne, choice


class AnyNetwork(Section):
    """What is asked of any network."""

    init: str | None = Field(default=None, description="a run whose averaged weights it starts from; null: from none")


class UNet(AnyNetwork):
    """The modern U-Net."""

    kind: Literal["unet"] = Field(default="unet", description="which network")
    channels: tuple[Count, ...] = Field(
        default=(64, 128, 256), min_length=1, description="feature channels of every level"
    )
    blocks: Count = Field(default=2, description="residual blocks a level")
    attention_resolutions: tuple[Count, ...] | None = Field(
        default=None,
        description="widths of the feature map that have attention; []: nowhere; null: the lowest",
    )
    middle_attention: bool = Field(default=True, description="attention at the lowest level")
    head_channels: Count | None = Field(default=None, description="channels an attention head; null: a single head")
    groups: Count | None = Field(
        default=None, description="groups of every GroupNorm; null: the most that fit, up to 32"
    )
    norm_eps: Positive = Field(default=1e-6, description="what every GroupNorm adds to the variance")
    dropout: ShareBelowOne = Field(default=0.1, description="share of features dropped while training")
    scale_shift: bool = Field(
        default=False, description="time scales and shifts the features instead of being added to them"
    )
    freq_shift: Literal[0, 1] = Field(
        default=1, description="how the frequencies of the time embedding are spread: 0 as diffusers' default"
    )
    downsample_padding: Literal[0, 1] = Field(
        default=0, description="padding of what halves the map: 1 on all sides, as diffusers' default"
    )
    class_conditional: bool = Field(default=False, description="the labels of the data condition the network")
    text_conditional: bool = Field(
        default=False, description="the captions of the data condition it: its attention reads them (see text)"
    )


class SimpleUNet(AnyNetwork):
    """The textbook's U-Net: three levels, no attention."""

    kind: Literal["simple_unet"] = Field(default="simple_unet", description="which network")
    base_channels: Count = Field(
        default=64, multiple_of=8, description="feature channels of the first level, a multiple of 8"
    )
    time_emb_dim: Count = Field(default=256, multiple_of=2, description="width of the time embedding, even")


class Autoencoder(AnyNetwork):
    """The autoencoder of latent diffusion, whose latents are a smaller picture."""

    kind: Literal["autoencoder"] = Field(default="autoencoder", description="which network")
    channels: tuple[Count, ...] = Field(
        default=(64, 128), min_length=1, description="feature channels of every level; each further one halves the side"
    )
    latent_channels: Count = Field(default=4, description="channels of the latents")
    blocks: Count = Field(default=1, description="residual blocks a level of the encoder; the decoder has one more")
    middle_attention: bool = Field(default=True, description="attention at the lowest level")
    groups: Count | None = Field(
        default=None, description="groups of every GroupNorm; null: the most that fit, up to 32"
    )


class CLIP(AnyNetwork):
    """Two towers that tell which caption belongs to which picture."""

    kind: Literal["clip"] = Field(default="clip", description="which network")
    width: Count = Field(default=64, description="width of the space that pictures and captions are mapped to")
    patch: Count = Field(default=4, description="side in pixels of the squares that a picture is cut into")
    image_width: Count = Field(default=128, description="width of a square")
    image_layers: Count = Field(default=4, description="layers of the transformer that sees them")
    image_heads: Count = Field(default=4, description="heads of its attention, which share the width")


class Customised(AnyNetwork):
    """What is learned of a pipeline from text to images that is trained already."""

    model: str = Field(default="mini", min_length=1, description="the pipeline: mini, its directory, or hub:OWNER/NAME")


class LoRA(Customised):
    """Low-rank matrices beside the weights of a pipeline's attention, which stay as they are."""

    kind: Literal["lora"] = Field(default="lora", description="which network")
    rank: Count = Field(default=4, description="rank of what is added to a weight; 4 to 16 is usual")
    alpha: Positive | None = Field(
        default=None, description="what is added counts alpha/rank; null: the rank, so that it counts 1"
    )
    text_encoder: bool = Field(default=False, description="the text encoders learn as well")
    layers: tuple[str, ...] = Field(
        default=("to_q", "to_k", "to_v", "to_out.0"),
        min_length=1,
        description="endings of the names of the U-Net's layers that learn",
    )


class Whole(Customised):
    """All weights of a pipeline's U-Net."""

    kind: Literal["whole"] = Field(default="whole", description="which network")
    text_encoder: bool = Field(default=False, description="the text encoders learn as well")


class Embedding(Customised):
    """New words of a pipeline whose weights stay as they are."""

    kind: Literal["embedding"] = Field(default="embedding", description="which network")
    token: str = Field(default="<new>", min_length=1, description="the new word, which prompts use; none there is")
    vectors: Annotated[Count, Field(le=32)] = Field(
        default=1, description="words that it stands for; each takes a place of the prompt"
    )
    begun_with: str | None = Field(
        default=None, description="a word that means something like it, from which it starts; null: the mean of all"
    )


class OwnNetwork(AnyNetwork):
    """A network handed over in Python, which a configuration can only name."""

    kind: Literal["own"] = Field(default="own", description="which network: one handed over in Python")
    name: str = Field(description="its class, for people; the network itself is handed over in Python")


Network = Annotated[
    UNet | SimpleUNet | Autoencoder | CLIP | LoRA | Whole | Embedding | OwnNetwork,
    Field(discriminator="kind"),
    choice("unet"),
]

CUSTOMISED = ("lora", "whole", "embedding")
"""Kinds of networks that are, or come beside, those of a pipeline."""
