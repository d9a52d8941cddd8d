"""What can be named on the command line and in a configuration: torch-free tables of lazily loaded targets.

A new sampler is one new file and one line here; an unknown name is answered before anything heavy is imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, resources
from importlib.resources.abc import Traversable
from typing import Any

from kakusan.errors import unknown


@dataclass(frozen=True)
class Target:
    """Where something is found, and what the help says of it.

    Attributes:
        path: Module and attribute, ``"package.module:attribute"``.
        description: One line.
    """

    path: str
    description: str


@dataclass(frozen=True)
class Sampler(Target):
    """A sampler, and what can be asked of it.

    Attributes:
        title: Its name as its authors write it.
        default_grid: The grid it walks unless told otherwise.
        default_steps: Its steps unless told otherwise, at most those of a chain; None: the whole chain, and a
            thousand steps where the schedule is none.
        calls_per_step: Network calls of a step; of a last step to clean data always one.
        takes: Options of its own: ``"eta"``, its randomness, or ``"variance"``, that of its reverse step.
    """

    title: str
    default_grid: str
    default_steps: int | None = None
    calls_per_step: int = 1
    takes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scheduler(Target):
    """A scheduler of diffusers, which walks a pipeline in the place of its own.

    Attributes:
        config: What it is told beside the pipeline's own configuration.
        takes: Options of its own: ``"eta"``, its randomness.
        lacks: Fields of the pipeline's configuration, and their values with which it would draw something else.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    takes: tuple[str, ...] = ()
    lacks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study(Target):
    """An experiment.

    Attributes:
        preset: What it is done on unless told otherwise; None: on a file that says what models draw.
        budget: How long unless told otherwise: ``quick`` or ``full``.
        judged: Whether it compares samples with real images by features of a network.
    """

    preset: str | None = "digits"
    budget: str = "quick"
    judged: bool = True


SAMPLERS: Mapping[str, Sampler] = {
    "ddpm": Sampler(
        "kakusan.samplers.ddpm:ddpm",
        "the reverse chain, with fresh noise at every step; best with all of them",
        title="DDPM",
        default_grid="trailing",
        takes=("variance",),
    ),
    "ddim": Sampler(
        "kakusan.samplers.ddim:ddim",
        "a few dozen steps, deterministic at eta 0 and as random as ddpm at eta 1",
        title="DDIM",
        default_grid="trailing",
        default_steps=50,
        takes=("eta",),
    ),
    "heun": Sampler(
        "kakusan.samplers.heun:heun",
        "second order, two network calls a step, good from about ten steps",
        title="Heun",
        default_grid="karras",
        default_steps=18,
        calls_per_step=2,
    ),
}

TAKERS: Mapping[str, tuple[str, ...]] = {
    option: tuple(name for name, sampler in SAMPLERS.items() if option in sampler.takes)
    for option in dict.fromkeys(option for sampler in SAMPLERS.values() for option in sampler.takes)
}
"""Which samplers take an option that not all of them do."""

_UNCLIPPED = {"clip_sample": False}  # latents know no bounds
_NO_ZERO_SNR = {"rescale_betas_zero_snr": True}

SCHEDULERS: Mapping[str, Scheduler] = {
    "ddim": Scheduler("diffusers:DDIMScheduler", "even steps, deterministic at eta 0", _UNCLIPPED, takes=("eta",)),
    # Other variances, strided, add noise after the last step.
    "ddpm": Scheduler(
        "diffusers:DDPMScheduler", "fresh noise at every step", {"variance_type": "fixed_small", **_UNCLIPPED}
    ),
    "euler": Scheduler("diffusers:EulerDiscreteScheduler", "first order, deterministic"),
    "euler-a": Scheduler("diffusers:EulerAncestralDiscreteScheduler", "Euler with fresh noise at every step"),
    # From a last step that is pure noise, as trailing ones are of a cosine chain, its second slope leads astray.
    "heun": Scheduler(
        "diffusers:HeunDiscreteScheduler",
        "second order, two network calls a step",
        {"timestep_spacing": "leading"},
        lacks=_NO_ZERO_SNR,
    ),
    "dpmpp-2m": Scheduler(
        "diffusers:DPMSolverMultistepScheduler",
        "DPM-Solver++ of second order, good from 20 steps",
        {"algorithm_type": "dpmsolver++", "solver_order": 2},
    ),
    "dpmpp-2m-sde": Scheduler(
        "diffusers:DPMSolverMultistepScheduler",
        "DPM-Solver++ with fresh noise at every step",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2},
    ),
    "unipc": Scheduler("diffusers:UniPCMultistepScheduler", "predictor and corrector, good from 10 steps"),
    "pndm": Scheduler(
        "diffusers:PNDMScheduler",
        "that of Stable Diffusion 1; for linear and quadratic chains",
        {"skip_prk_steps": True},
        lacks={"prediction_type": "sample", **_NO_ZERO_SNR},
    ),
    "lms": Scheduler("diffusers:LMSDiscreteScheduler", "linear multistep, deterministic", lacks=_NO_ZERO_SNR),
}
"""What walks a pipeline of diffusers."""

GRIDS: Mapping[str, Target] = {
    "trailing": Target("kakusan.grids:trailing", "even steps of a chain, counted back from its noisiest"),
    "leading": Target("kakusan.grids:leading", "even steps of a chain, counted up from its cleanest"),
    "uniform_log_snr": Target("kakusan.grids:uniform_log_snr", "even steps of log-SNR"),
    "karras": Target("kakusan.grids:karras", "even steps of the noise level's seventh root"),
}

SOURCES: Mapping[str, Target] = {
    "digits": Target("kakusan.data.sources.digits:digits", "1,797 grey digits of 8×8 pixels, from scikit-learn"),
    "cifar10": Target(
        "kakusan.data.sources.cifar10:cifar10", "50,000 colour pictures of 32×32 pixels in ten classes; downloaded once"
    ),
    "shapes": Target(
        "kakusan.data.sources.shapes:Shapes", "40,000 captioned scenes of one or two things, of any size; drawn here"
    ),
    "shapes-single": Target(
        "kakusan.data.sources.shapes:single", "20,000 scenes of one thing in the middle, which are learned far sooner"
    ),
}
"""Images that have a name."""

FORMATS: Mapping[str, Target] = {
    ".safetensors": Target("kakusan.data.cache:open_cache", "what `kakusan data prepare` wrote"),
    ".parquet": Target("kakusan.data.sources.hub:parquet", "rows with a column of images"),
}
"""Images in a single file, by its suffix."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Suffixes of files that hold files."""

STUDIES: Mapping[str, Study] = {
    "schedules": Study(
        "kakusan.studies.experiments.schedules:schedules", "linear, cosine and quadratic noise, trained alike"
    ),
    "ddim-steps": Study(
        "kakusan.studies.experiments.ddim_steps:ddim_steps", "what DDIM loses with fewer steps, and what it saves"
    ),
    "class-conditional": Study(
        "kakusan.studies.experiments.class_conditional:class_conditional", "what knowing the class brings, and guidance"
    ),
    "latent": Study(
        "kakusan.studies.experiments.latent:latent", "diffusion in latents beside pixels: space, compute, time, quality"
    ),
    "generative-families": Study(
        "kakusan.studies.experiments.families:families", "a VAE, a GAN and a diffusion model for the same time"
    ),
    "project": Study(
        "kakusan.studies.experiments.project:project", "the chapter's project: train, draw a grid, measure, curves"
    ),
    "metrics": Study(
        "kakusan.studies.experiments.metrics:metrics", "how distance and score move with training, images and resizing"
    ),
    "mini": Study(
        "kakusan.studies.experiments.mini:mini",
        "a whole Stable Diffusion of captioned scenes, trained part by part; the one that ships",
        preset="shapes-text",
        budget="full",
        judged=False,
    ),
    "prompts": Study(
        "kakusan.studies.experiments.prompts:prompts",
        "words, negatives, guidance, steps, models and LoRAs side by side, and which of them do best",
        preset=None,
        judged=False,
    ),
}
"""Experiments, each from a preset or a file to a page with a finding."""

MODELS: Mapping[str, Target] = {
    "mini": Target("kakusan:mini", "scenes of 32×32 pixels with one thing or two; ships with kakusan"),
}
"""Pipelines from text to images that ship with this package, in folders of it."""

CUSTOMISERS = ("lora", "dreambooth", "textual-inversion")
"""Presets by which a pipeline learns from a few images."""

HUB = "hub:"
"""What comes before the name of a data set or a model of the Hugging Face hub."""

CLIP_SCALE = 10.0
"""How much the cosine of a CLIP counts that leads, unless told otherwise."""

PYTHON = "python:"
"""What comes before the kind of a loader that was handed over in Python, which no name and no path brings back."""

TABLES: Mapping[str, Mapping[str, Target]] = {
    "sampler": SAMPLERS,
    "grid": GRIDS,
    "study": STUDIES,
    "scheduler": SCHEDULERS,
}


def lookup(kind: str, name: str) -> Target:
    """Returns the target of a ``name`` in the table of its ``kind``, one of those in ``TABLES``.

    Raises:
        KakusanError: There is no such name; the nearest one is suggested.
    """
    table = TABLES[kind]
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]


def sampler_title(name: str) -> str:
    """Returns a sampler's name as its authors write it; one that is not in the table stays as it is."""
    return SAMPLERS[name].title if name in SAMPLERS else name


def shipped(name: str) -> Traversable | None:
    """Returns the folder of a pipeline that ships with this package; None where it has none of this name."""
    if name not in MODELS:
        return None
    package, _, folder = MODELS[name].path.partition(":")
    return resources.files(package).joinpath(folder)


def load(target: Target) -> Any:
    """Imports and returns what a target points to."""
    module, _, attribute = target.path.partition(":")
    return getattr(import_module(module), attribute)


def presets() -> dict[str, str]:
    """Returns the name of every preset with its description, the comment in its first line."""
    texts = {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in _preset_files()}
    return {name: texts[name].partition("\n")[0].removeprefix("#").strip() for name in sorted(texts)}


def preset_text(name: str) -> str:
    """Returns the YAML of a preset.

    Raises:
        KakusanError: There is no such preset; the nearest one is suggested.
    """
    for file in _preset_files():
        if file.name == f"{name}.yaml":
            return file.read_text("utf-8")
    raise unknown("preset", name, presets())


def _preset_files() -> list[Traversable]:
    return [file for file in resources.files("kakusan").joinpath("presets").iterdir() if file.name.endswith(".yaml")]
