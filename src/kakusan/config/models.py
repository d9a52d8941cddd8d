"""The configuration of a run: frozen sections whose descriptions are the help and the comments of the YAML.

A section whose fields depend on a choice is a union told apart by ``kind``; the bare kind may stand for the section.
"""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator
from pydantic.fields import FieldInfo

from kakusan.config.names import GRIDS, SAMPLERS, SOURCES, TAKERS
from kakusan.config.networks import (
    CLIP,
    CUSTOMISED,
    AnyNetwork,
    Autoencoder,
    Customised,
    Embedding,
    LoRA,
    Network,
    OwnNetwork,
    SimpleUNet,
    UNet,
    Whole,
)
from kakusan.config.noise import (
    BetaChain,
    CosineChain,
    EDMParametrization,
    EDMSchedule,
    FlowSchedule,
    OwnChain,
    Parametrization,
    PlainParametrization,
    Schedule,
)
from kakusan.config.objectives import Contrast, Customising, Denoising, Objective, Reconstruction
from kakusan.config.values import (
    Count,
    CountOrZero,
    Integer,
    NotNegative,
    Number,
    Positive,
    Section,
    Share,
    ShareBelowOne,
    Side,
    named,
)
from kakusan.errors import KakusanError

__all__ = [
    "CLIP",
    "CUSTOMISED",
    "DEFAULT_IMAGES",
    "DURATIONS",
    "EMA",
    "LEAST_VOCABULARY",
    "SECTIONS",
    "AnyNetwork",
    "Autoencoder",
    "BetaChain",
    "Config",
    "Contrast",
    "CosineChain",
    "Count",
    "CountOrZero",
    "Customised",
    "Customising",
    "Data",
    "Denoising",
    "Device",
    "EDMParametrization",
    "EDMSchedule",
    "Embedding",
    "Evaluation",
    "FlowSchedule",
    "GridName",
    "Guard",
    "LoRA",
    "Network",
    "Number",
    "Objective",
    "Optimizer",
    "OwnChain",
    "OwnNetwork",
    "Parametrization",
    "PlainParametrization",
    "Reconstruction",
    "SamplerName",
    "Sampling",
    "Schedule",
    "Section",
    "SimpleUNet",
    "Text",
    "Training",
    "UNet",
    "Whole",
    "known_fields",
    "variants",
]

DURATIONS = ("steps", "images", "epochs")
DEFAULT_IMAGES = 2_000_000
LEAST_VOCABULARY = 514  # every byte, within a word and at its end, and the two ends of a caption


def _check_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps(:0)?|cuda(:\d+)?", device):
        raise KakusanError(f"training.device must be auto, cpu, cuda, cuda:N or mps, not {device!r}")
    return device


def _check_held_out(held_out: float) -> float:
    if held_out > 1 and held_out != int(held_out):
        raise KakusanError(f"data.held_out must be a share below 1 or a whole number of images, not {held_out}")
    return held_out


SamplerName = Annotated[str, named("sampler"), Field(examples=list(SAMPLERS))]
GridName = Annotated[str, named("grid"), Field(examples=list(GRIDS))]
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
                "objective.buckets gives a batch one size, and images of the kind, objective.class_prompts, are "
                "square: leave one of them out"
            )
        for name in ("buckets", "folder_repeats"):
            if self.data.held_out and getattr(self.objective, name):
                raise KakusanError(
                    f"data.held_out {self.data.held_out:g} keeps images out, which objective.{name} cannot: leave one "
                    "of them out"
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
