"""What a training step asks of a network, told apart by ``kind``."""

from typing import Annotated, Literal

from pydantic import Field

from kakusan.config.values import Count, NotNegative, Number, Positive, Section, Share, choice


class Denoising(Section):
    """What a training step draws."""

    kind: Literal["denoising"] = Field(default="denoising", description="what is learned: to see images through noise")
    times: Literal["uniform", "lognormal"] = Field(
        default="uniform", description="how times are drawn; lognormal in σ/α, as EDM"
    )
    lognormal_mean: Number = Field(
        default=-1.2, description="mean of ln(σ/α), which is ln σ for EDM, for lognormal times"
    )
    lognormal_std: Positive = Field(default=1.2, description="standard deviation of ln(σ/α), for lognormal times")
    stratified: bool = Field(
        default=True, description="spread the times of a batch evenly; the same mean, less variance"
    )
    condition_dropout: Share = Field(
        default=0.1, description="share of conditions hidden, so that guidance is possible"
    )


class Reconstruction(Section):
    """What an autoencoder's images cost, beside those that they were made from."""

    kind: Literal["reconstruction"] = Field(
        default="reconstruction", description="what is learned: to find images again from few numbers"
    )
    pixels: Literal["squared", "absolute"] = Field(
        default="squared", description="how far pixels, in [-1, 1], are apart: by squares, or by absolute values"
    )
    kl_weight: NotNegative = Field(
        default=1e-4,
        description="what a nat of the latents costs, over pixels; 2s² with squares is a VAE whose pixels deviate by s",
    )
    latent_noise: NotNegative = Field(
        default=0.0, description="noise added to the latents while learning, whose own deviation is 1"
    )
    edges: NotNegative = Field(
        default=0.0, description="how much more pixels count beside an edge; outlines of small things need it"
    )
    perceptual: NotNegative = Field(
        default=0.0, description="what LPIPS costs beside pixels; above 0 its weights must be at hand"
    )


class Contrast(Section):
    """What is asked of a CLIP: which caption of a batch belongs to which picture."""

    kind: Literal["contrast"] = Field(
        default="contrast", description="what is learned: to tell which caption belongs to which picture"
    )


class Customising(Section):
    """What a pipeline is told of the images that it learns from."""

    kind: Literal["customising"] = Field(
        default="customising", description="what is learned: what a pipeline does not know yet"
    )
    instance_prompts: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="what every image is said to show, each in turn; []: what its own caption says"
    )
    class_prompts: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        description="what is not to be forgotten, things of its kind above all, each in turn: images of it are learned "
        "beside; []: none",
    )
    prior: str | None = Field(
        default=None, min_length=1, description="a folder of these images; null: the pipeline draws them beforehand"
    )
    prior_images: Count = Field(default=100, description="how many it draws")
    prior_weight: NotNegative = Field(default=1.0, description="how much one of these counts; every other is one")
    min_snr: Positive | None = Field(
        default=None, description="γ of min-SNR weighting, in which little noise counts less, 5 say; null: none"
    )
    noise_offset: NotNegative = Field(
        default=0.0, description="deviation of what a channel's noise is moved by as a whole, 0.05 say"
    )
    condition_dropout: Share = Field(
        default=0.0, description="share of prompts hidden, so that guidance keeps both sides; few images need none"
    )
    buckets: Count | None = Field(
        default=None,
        description="images keep their aspect, sides in steps of so many pixels, 64 say; null: the middle square",
    )
    folder_repeats: bool = Field(
        default=False, description="images of a sub-folder called N_NAME, as kohya's tools have it, count N times"
    )
    shown: tuple[str, ...] = Field(default=(), description="prompts of the previews; []: the instance's")
    shown_steps: Count | None = Field(default=None, description="steps of their walk; null: the pipeline's own")
    shown_guidance: Annotated[Number, Field(ge=1)] | None = Field(
        default=None, description="their w: 1 is plainly conditional; null: the pipeline's own"
    )


Objective = Annotated[
    Denoising | Reconstruction | Contrast | Customising, Field(discriminator="kind"), choice("denoising")
]
