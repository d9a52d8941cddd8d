"""The configuration of a run: frozen sections whose descriptions are the help and the comments of the YAML.

A section whose fields depend on a choice is a union told apart by ``kind``; the bare kind may stand for the section.
"""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from kakusan.config.names import GRIDS, SAMPLERS, SOURCES, TAKERS, lookup
from kakusan.errors import KakusanError


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):  # which Python would take for 0 or 1
        raise PydanticCustomError("bool", "not a number")
    return value


Integer = Annotated[int, BeforeValidator(_refuse_bool)]
Count = Annotated[Integer, Field(ge=1)]
CountOrZero = Annotated[Integer, Field(ge=0)]
Side = Annotated[Integer, Field(ge=1, le=4096)]
Number = Annotated[float, BeforeValidator(_refuse_bool)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
ShareBelowOne = Annotated[Number, Field(ge=0, lt=1)]
Beta = Annotated[Number, Field(gt=0, lt=1)]

DURATIONS = ("steps", "images", "epochs")
DEFAULT_IMAGES = 2_000_000
LEAST_VOCABULARY = 514  # every byte, within a word and at its end, and the two ends of a caption


class Section(BaseModel):
    """A frozen part of the configuration in which every field is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def _choice(default: str) -> BeforeValidator:
    """Reads a bare string as a kind, and gives a mapping without one the ``default`` kind."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        return {"kind": default, **value} if isinstance(value, dict) else value

    return BeforeValidator(read)


def _named(kind: str) -> AfterValidator:
    """Accepts the names in one of the tables of :mod:`kakusan.config.names`."""

    def check(name: str) -> str:
        lookup(kind, name)
        return name

    return AfterValidator(check)


def _check_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps(:0)?|cuda(:\d+)?", device):
        raise KakusanError(f"training.device must be auto, cpu, cuda, cuda:N or mps, not {device!r}")
    return device


def _check_held_out(held_out: float) -> float:
    if held_out > 1 and held_out != int(held_out):
        raise KakusanError(f"data.held_out must be a share below 1 or a whole number of images, not {held_out}")
    return held_out


SamplerName = Annotated[str, _named("sampler"), Field(examples=list(SAMPLERS))]
GridName = Annotated[str, _named("grid"), Field(examples=list(GRIDS))]
Device = Annotated[str, AfterValidator(_check_device), Field(examples=["auto", "cpu", "cuda", "cuda:N", "mps"])]


class Data(Section):
    """The images to learn from."""

    source: str = Field(
        min_length=1,
        description=f"{', '.join(SOURCES)}, folder, archive, parquet, hub:OWNER/NAME",
    )
    size: Side | None = Field(
        default=None, description="side in pixels to resize and crop to; null: as the images agree"
    )
    channels: Literal[1, 3] | None = Field(default=None, description="1 is grey, 3 is colour; null: as the images are")
    flip: bool = Field(
        default=False, description="mirror half of the images, drawn anew each time; not for digits or text"
    )
    max_broken: Share = Field(default=0.05, description="share of unreadable images that is skipped; more are refused")
    held_out: Annotated[NotNegative, AfterValidator(_check_held_out)] = Field(
        default=0.0, description="images kept out of training for a held-out loss: a number, or a share below 1"
    )
    latent: str | None = Field(
        default=None,
        min_length=1,
        description="learn in the latents of an autoencoder: its run, or one of diffusers; null: pixels",
    )
    latent_tile: Count | None = Field(
        default=None,
        description="side in pixels of the tiles in which larger pictures go through it; null: whole",
    )


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


class Text(Section):
    """How captions are read, by a network with text_conditional or a CLIP."""

    init: str | None = Field(
        default=None,
        min_length=1,
        description="a text encoder to begin with: a run's CLIP, or one of transformers; null: drawn",
    )
    frozen: bool = Field(default=False, description="leave it as it was, and let the network alone learn")
    width: Count = Field(default=128, description="width of a word")
    layers: Count = Field(default=4, description="layers of the transformer that reads them")
    heads: Count = Field(default=4, description="heads of its attention, which share the width")
    length: Annotated[Integer, Field(ge=3)] = Field(
        default=32, description="words of the longest caption, its two ends among them; longer ones are cut"
    )
    vocabulary: Annotated[Integer, Field(ge=LEAST_VOCABULARY)] = Field(
        default=2000, description="pieces of words that are told apart, at most; single letters always are"
    )


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


class BetaChain(Section):
    """A chain whose β runs between two ends."""

    kind: Literal["linear", "quadratic"] = Field(
        default="linear", description="how noise grows: what is linear is β, or √β"
    )
    steps: Count = Field(default=1000, description="T, the noising steps of the chain")
    beta_start: Beta = Field(default=1e-4, description="β, the variance added, of the first step")
    beta_end: Beta = Field(default=0.02, description="β of the last step; 0.02 suits 1000 steps, fewer need more")


class CosineChain(Section):
    """A chain whose ᾱ falls as a squared cosine."""

    kind: Literal["cosine"] = Field(default="cosine", description="how noise grows: the signal falls as a cosine")
    steps: Count = Field(default=1000, description="T, the noising steps of the chain")
    s: Share = Field(default=0.008, description="offset that keeps the first steps from being too small")


class OwnChain(Section):
    """A chain given by its betas."""

    kind: Literal["betas"] = Field(default="betas", description="how noise grows: as listed")
    betas: tuple[Beta, ...] = Field(min_length=1, description="β of every step, the cleanest first")


class EDMSchedule(Section):
    """Noise piled upon data of unchanged scale."""

    kind: Literal["edm"] = Field(default="edm", description="how noise grows: as the seventh power of time")
    sigma_max: Positive = Field(default=80.0, description="the largest noise level, in units of the pixels' [-1, 1]")


class FlowSchedule(Section):
    """The straight line from data to noise."""

    kind: Literal["rectified_flow"] = Field(
        default="rectified_flow", description="how noise grows: linearly, as signal falls"
    )


class PlainParametrization(Section):
    """A parametrization without fields."""

    kind: Literal["epsilon", "x0", "v", "flow"] = Field(default="v", description="what the network's output means")


class EDMParametrization(Section):
    """Inputs, outputs and targets of unit variance at every noise level."""

    kind: Literal["edm"] = Field(default="edm", description="what the network's output means")
    sigma_data: Positive = Field(
        default=0.5, description="standard deviation of the data, in units of the pixels' [-1, 1]"
    )


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
    instance_prompts: tuple[str, ...] = Field(
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


class Optimizer(Section):
    """AdamW and its learning rate."""

    learning_rate: Positive = Field(default=2e-4, description="step size at its peak")
    betas: tuple[ShareBelowOne, ShareBelowOne] = Field(
        default=(0.9, 0.99), description="decay of the mean and of the square of gradients"
    )
    eps: Positive = Field(default=1e-8, description="added to the root of the mean square")
    weight_decay: NotNegative = Field(
        default=0.01, description="share of a weight removed a step, times the learning rate"
    )
    warmup_images: CountOrZero = Field(default=50_000, description="images over which the learning rate rises from 0")
    decay: Literal["cosine", "none"] = Field(
        default="cosine", description="how the learning rate falls to the end of training"
    )
    fused: bool = Field(default=True, description="one kernel for all weights; false where a device has none")
    clip_norm: Positive | None = Field(default=1.0, description="largest norm of the gradient; null: as it is")


class EMA(Section):
    """The running average of weights that samples are drawn with."""

    half_life: Positive = Field(default=250_000, description="images after which a weight counts half")
    ramp_up: NotNegative = Field(
        default=0.05, description="caps the half-life at this share of the images seen; 0: no cap"
    )


class Guard(Section):
    """What happens when losses or gradients are NaN or infinite: a step is skipped, and here is what if many are."""

    patience: Count = Field(
        default=20, description="skipped steps in a row with which training goes back; asked every so many steps"
    )
    rollbacks: CountOrZero = Field(default=3, description="times it may go back to a checkpoint; then it stops")
    lower: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.5, description="what the learning rate is multiplied by each time"
    )


class Training(Section):
    """How long, how large, where, and what is kept."""

    steps: Count | None = Field(default=None, description="length in optimizer steps; one of steps, images and epochs")
    images: Count | None = Field(default=None, description="length in images seen")
    epochs: Count | None = Field(default=None, description="length in passes over the data")
    batch_size: Annotated[Count, Field(le=100_000)] = Field(
        default=128, description="images a step, over all devices together"
    )
    seed: Integer = Field(default=0, description="everything random in the run follows from it")
    device: Device = Field(default="auto", description="where to compute; auto takes the best there is")
    microbatch: Count | None = Field(
        default=None, description="images a device computes at a time; null: its whole share at once"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="bfloat16, float16: mixed precision, weights in float32"
    )
    tf32: bool = Field(default=True, description="compute float32 matrices and convolutions as TF32, on GPUs that can")
    channels_last: bool = Field(default=False, description="keep the channels of a pixel together in memory")
    activation_checkpointing: bool = Field(
        default=False, description="compute blocks again for the gradient: less memory, one more forward pass"
    )
    compile: bool = Field(default=False, description="compile the network first: minutes at the start, faster steps")
    log_every: Count = Field(default=50, description="steps between two lines of metrics")
    checkpoint_every: Count = Field(default=100_000, description="images between two checkpoints")
    samples_every: CountOrZero = Field(default=100_000, description="images between two grids of samples; 0: never")
    validate_every: CountOrZero = Field(
        default=0, description="images between two held-out losses; 0: with every checkpoint, which has one anyway"
    )
    tracker: Literal["tensorboard", "wandb", "trackio"] | None = Field(
        default=None, description="a program that draws the metrics as they come; null: none"
    )
    keep: Count = Field(
        default=3, description="checkpoints kept, the latest ones; and the best, where images are held out"
    )

    @model_validator(mode="before")
    @classmethod
    def _give_a_length(cls, values: Any) -> Any:
        if isinstance(values, dict) and all(values.get(name) is None for name in DURATIONS):
            return {**values, "images": DEFAULT_IMAGES}
        return values

    @model_validator(mode="after")
    def _have_one_length(self) -> "Training":
        given = [name for name in DURATIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise KakusanError(f"training takes one of steps, images and epochs, not {' and '.join(given)}: keep one")
        return self


class Sampling(Section):
    """How images are drawn, by default and in the grids during training."""

    sampler: SamplerName = Field(default="ddim", description="how to walk from noise to data")
    steps: Count | None = Field(default=None, description="steps of the walk; null: the sampler's own number")
    eta: Share = Field(default=0.0, description="randomness of ddim: 0 is deterministic, 1 has ddpm's variance")
    variance: Literal["posterior", "beta"] = Field(
        default="posterior", description="noise of a step of ddpm: β̃, or β itself"
    )
    grid: GridName | None = Field(default=None, description="which times the steps visit; null: the sampler's own")
    guidance: NotNegative = Field(
        default=1.0, description="w: 0 is unconditional, 1 plainly conditional, above 1 exaggerates"
    )
    threshold: Literal["none", "clip", "dynamic"] | None = Field(
        default=None, description="how predicted pixels are kept in [-1, 1]; null: clip, but none for latents"
    )
    batch: Count = Field(default=64, description="images drawn at a time")

    @model_validator(mode="after")
    def _hold_only_what_the_sampler_takes(self) -> "Sampling":
        for option, takers in TAKERS.items():
            value, default = getattr(self, option), Sampling.model_fields[option].default
            if value != default and self.sampler not in takers:
                raise KakusanError(
                    f"sampling.{option} is {value}, but {self.sampler} takes none: "
                    f"set it to {default}, or use {' or '.join(takers)}"
                )
        return self


class Evaluation(Section):
    """How samples are judged."""

    n: Annotated[Integer, Field(ge=2)] | None = Field(
        None, description="images compared on each side; null: half of the data"
    )
    splits: Count = Field(default=10, description="random splits of the data whose mean distance is the noise floor")
    sampler: SamplerName | None = Field(default=None, description="how to walk; null: as sampling")
    steps: Count | None = Field(default=None, description="steps of the walk; null: as sampling")
    guidance: NotNegative | None = Field(default=None, description="w; null: as sampling")
    every: CountOrZero = Field(
        default=0, description="images between measurements of a few samples while training; 0: none"
    )
    every_n: Annotated[Integer, Field(ge=2)] = Field(default=500, description="samples of each of these measurements")
    metrics: tuple[str, ...] = Field(
        default=(), description="what these measure, such as fid; none: a distance by a classifier of the data"
    )


Network = Annotated[
    UNet | SimpleUNet | Autoencoder | CLIP | LoRA | Whole | Embedding | OwnNetwork,
    Field(discriminator="kind"),
    _choice("unet"),
]
Schedule = Annotated[
    BetaChain | CosineChain | OwnChain | EDMSchedule | FlowSchedule, Field(discriminator="kind"), _choice("cosine")
]
Objective = Annotated[
    Denoising | Reconstruction | Contrast | Customising, Field(discriminator="kind"), _choice("denoising")
]
Parametrization = Annotated[PlainParametrization | EDMParametrization, Field(discriminator="kind"), _choice("v")]


def _installed_version() -> str:
    from importlib.metadata import version  # 30 ms, which the help has no need to spend

    return version("kakusan")


class Config(Section):
    """Everything a run is made from."""

    version: str = Field(default_factory=_installed_version, description="the kakusan that wrote this")
    data: Data
    network: Network = Field(default_factory=UNet, description="The network that is trained.")
    text: Text = Field(default_factory=Text)
    schedule: Schedule = Field(default_factory=CosineChain, description="How much signal and noise there is at a time.")
    parametrization: Parametrization = Field(
        default_factory=PlainParametrization, description="What the network predicts: noise, image, or a mixture."
    )
    objective: Objective = Field(default_factory=Denoising, description="What is learned, and what a step draws.")
    optimizer: Optimizer = Field(default_factory=Optimizer)
    ema: EMA = Field(default_factory=EMA)
    guard: Guard = Field(default_factory=Guard)
    training: Training = Field(default_factory=Training)
    sampling: Sampling = Field(default_factory=Sampling)
    evaluation: Evaluation = Field(default_factory=Evaluation)

    @model_validator(mode="before")
    @classmethod
    def _let_the_network_say_what_is_learned(cls, values: Any) -> Any:
        if not isinstance(values, dict) or (own := _LEARNS.get(str(_kind(values.get("network"))))) is None:
            return values
        objective = values.get("objective") or {}
        if not isinstance(objective, dict) or "kind" in objective:
            return values
        return {**values, "objective": {"kind": own, **objective}}

    @model_validator(mode="after")
    def _learn_what_the_network_can(self) -> "Config":
        kind = self.network.kind
        if self.data.latent is not None and kind in _LEARNS:
            whys = {"autoencoder": "an autoencoder makes its own", "clip": "a CLIP sees pictures"}
            why = whys.get(kind, "a pipeline has its own autoencoder")
            raise KakusanError(f"data.latent is for what learns in latents: {why} (leave it out)")
        if self.data.latent is not None and self.sampling.threshold not in (None, "none"):
            raise KakusanError(
                f"sampling.threshold {self.sampling.threshold} keeps pixels in their range, and latents have none: "
                "leave it out, or use none"
            )
        if self.reads_text and not getattr(self.network, "middle_attention", True):
            raise KakusanError("network.text_conditional needs network.middle_attention, which is false")
        if self.reads_text and self.text.width % self.text.heads:
            raise KakusanError(
                f"text.heads must divide text.width, but {self.text.heads} does not divide {self.text.width}"
            )
        if self.text.frozen and self.text.init is None:
            raise KakusanError(
                "text.frozen keeps a text encoder that has learned nothing: name one that has (text.init)"
            )
        if self.text.frozen and kind == "clip":
            raise KakusanError("text.frozen leaves a CLIP half of what it learns: leave it out")
        if kind in _KNOWS_NO_NOISE and self.training.microbatch is not None:
            why = "whose latents are brought to deviation 1" if kind == "autoencoder" else "whose pairs are told apart"
            raise KakusanError(
                f"training.microbatch would part a batch {why} together: leave it out "
                "(--training.activation_checkpointing true takes less memory as well)"
            )
        if self.objective.kind != _LEARNS.get(kind, "denoising"):
            raise KakusanError(
                f"a network of kind {kind} cannot learn the objective {self.objective.kind}: "
                f"an autoencoder learns reconstruction, a clip contrast, {', '.join(CUSTOMISED)} customising, and all "
                "others learn denoising"
            )
        if isinstance(self.network, Customised):
            self._require_customisable()
        for name in self.idle:
            if getattr(self, name) != Config.model_fields[name].get_default(call_default_factory=True):
                why = "is read by a network with text_conditional: set it, or leave text out"
                if kind in _KNOWS_NO_NOISE and name in _OF_NOISE:
                    why = f"says nothing to {_KNOWS_NO_NOISE[kind]}, which knows no noise: leave it out"
                elif kind in CUSTOMISED:
                    why = "is a pipeline's own: leave it out"
                raise KakusanError(f"{name} {why}")
        return self

    def _require_customisable(self) -> None:
        """Refuses prompts and images that do not go together."""
        assert isinstance(self.objective, Customising), "asked for before"
        if isinstance(self.network, Embedding):
            without = [it for it in self.objective.instance_prompts if self.network.token not in it]
            if without:
                raise KakusanError(
                    f"objective.instance_prompts: {without[0]!r} does not use the word {self.network.token!r} that is "
                    f"learned (say 'a photo of {self.network.token}')"
                )
            if self.objective.class_prompts:
                raise KakusanError(
                    "objective.class_prompts keep weights from forgetting, and a new word changes none: leave it out"
                )
        if self.objective.prior is not None and len(self.objective.class_prompts) != 1:
            raise KakusanError(
                f"objective.prior {self.objective.prior} holds images of one kind: say what it is called, once "
                "(objective.class_prompts)"
            )
        if self.objective.buckets is not None and self.objective.class_prompts:
            raise KakusanError(
                "objective.buckets gives a batch one size, and images of the kind, objective.class_prompts, are square: "
                "leave one of them out"
            )
        for name in ("buckets", "folder_repeats"):
            if self.data.held_out and getattr(self.objective, name):
                raise KakusanError(
                    f"data.held_out {self.data.held_out:g} keeps images out, which objective.{name} cannot: leave one "
                    "of them out"
                )
        if self.data.held_out and len(self.objective.instance_prompts) > 1:
            raise KakusanError(
                f"data.held_out {self.data.held_out:g} keeps images out, and with "
                f"{len(self.objective.instance_prompts)} prompts each is learned by another one all the same: use one "
                "prompt, or 0"
            )

    @property
    def idle(self) -> tuple[str, ...]:
        """Sections that say nothing to its network."""
        if self.network.kind in CUSTOMISED:
            return (*_OF_NOISE, "text")
        without_noise = _OF_NOISE if self.network.kind in _KNOWS_NO_NOISE else ()
        return without_noise if self.reads_text else (*without_noise, "text")

    @property
    def reads_text(self) -> bool:
        """Whether captions condition its network."""
        return isinstance(self.network, CLIP) or (isinstance(self.network, UNet) and self.network.text_conditional)


CUSTOMISED = ("lora", "whole", "embedding")
"""Kinds of networks that are, or come beside, those of a pipeline."""
# And all others denoising.
_LEARNS = {"autoencoder": "reconstruction", "clip": "contrast", **dict.fromkeys(CUSTOMISED, "customising")}
_KNOWS_NO_NOISE = {"autoencoder": "an autoencoder", "clip": "a CLIP"}
_OF_NOISE = ("schedule", "parametrization", "sampling", "evaluation")


def _kind(section: Any) -> Any:
    """Returns the kind of a section that is not validated yet; None where it does not say."""
    if isinstance(section, dict):
        return section.get("kind")
    return section if isinstance(section, str) else getattr(section, "kind", None)


SECTIONS = tuple(name for name in Config.model_fields if name != "version")


def variants(section: str) -> dict[str, type[Section]]:
    """Returns the models that a section can be, by kind; under the empty string where it has no choice."""
    annotation: Any = Config.model_fields[section].annotation
    models: tuple[type[Section], ...] = get_args(annotation) or (annotation,)
    return {kind: model for model in models for kind in _kinds(model)}


def known_fields(section: str) -> dict[str, FieldInfo]:
    """Returns the fields that a section has under any kind."""
    return {name: field for model in variants(section).values() for name, field in model.model_fields.items()}


def _kinds(model: type[Section]) -> tuple[str, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ("",)
