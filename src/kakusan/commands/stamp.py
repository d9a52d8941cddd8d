"""The settings that ride inside a picture: all that is needed to draw it again, and no path but those of what was
given beside the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from kakusan.config.models import Sampling
from kakusan.errors import KakusanError

if TYPE_CHECKING:
    from kakusan.model import Model
    from kakusan.runs import Checkpoint, Run
    from kakusan.sampling import Plan
    from kakusan.stable_diffusion import Generation, TextToImage, Worn
    from kakusan.stable_diffusion.editing import Shown

_SIDE_BY_SIDE = 16


class Stamp(BaseModel):
    """How a set of pictures was drawn, by whatever drew it.

    Attributes:
        kakusan: The version that drew it.
        weights: SHA-256 of the weights' file; empty where they lie on the hub.
        device: Kind of device; another rounds differently.
        seed: Image i's noise follows from this and i.
        n: Images of the set.
        prompts: What was asked for in words, which repeats in turn; None where nothing was said.
        negative: What guidance leads away from, in words; None where nothing was said.
        index: Which image of the set this is; None for a picture of several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kakusan: str
    weights: str
    device: str
    seed: int
    n: int
    prompts: tuple[str, ...] | None = None
    negative: str | None = None
    index: int | None = None

    @property
    def images(self) -> range:
        """Which images of the set it speaks of."""
        return range(self.n) if self.index is None else range(self.index, self.index + 1)

    @property
    def columns(self) -> int | None:
        """A column of a grid for each of what repeats in turn, where that is few enough to stand side by side."""
        return _few(self.prompts)

    def metadata(self, index: int | None = None) -> dict[str, Any]:
        """Returns what rides inside the picture of one image, or of several."""
        return {**self.model_dump(mode="json"), "index": index}

    def mixes_with(self, other: Mapping[str, Any]) -> bool:
        """Whether pictures that say ``other`` of themselves would be taken for some of the same set."""
        raise NotImplementedError


class Led(BaseModel):
    """By what pictures were led beside their conditions.

    Attributes:
        weights: SHA-256 of the file of a CLIP's weights.
        scale: How much its cosine counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    scale: float


class Sampled(Stamp):
    """How pictures were drawn from a run.

    Attributes:
        run: Its name.
        checkpoint: Images that its weights had seen.
        weights_from: Which of its weights.
        labels: Classes that repeat in turn; None without classes.
        sampling: Sampler, steps and all the rest; its ``batch`` are the images drawn at a time.
        clip: The CLIP that led to the prompts; None where none did.
    """

    run: str
    checkpoint: int
    weights_from: Literal["ema", "raw"]
    labels: tuple[int, ...] | None
    sampling: Sampling
    clip: Led | None = None

    @property
    def columns(self) -> int | None:
        return super().columns if self.labels is None else _few(self.labels)

    def mixes_with(self, other: Mapping[str, Any]) -> bool:
        return other.get("run") == self.run


class Given(BaseModel):
    """A picture that was given to be edited.

    Attributes:
        path: Where it lay, as it was named.
        sha256: Of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str

    @classmethod
    def of(cls, shown: Shown | None) -> Given | None:
        """Returns what is to be said of a picture; None where none was given."""
        return None if shown is None else cls(path=str(shown.path), sha256=shown.sha256)


class Beside(BaseModel):
    """What a pipeline wore beside its weights.

    Attributes:
        path: Where it lay, as it was named.
        sha256: Of its weights.
        weight: How much it counted.
        image: By which picture a ControlNet led, as it was named, and the SHA-256 of its file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    weight: float = 1.0
    image: Given | None = None

    @classmethod
    def of(cls, worn: Worn, image: Given | None = None) -> Beside:
        """Returns what is to be said of something worn."""
        return cls(path=worn.place, sha256=worn.sha256, weight=worn.weight, image=image)


class Generated(Stamp):
    """How pictures were drawn by a pipeline.

    Attributes:
        model: Its name, without where it lay.
        steps, guidance, batch: How.
        eta: Randomness of the walk; None where the scheduler heeds none.
        scheduler: The short name of what walked, or the class of the model's own.
        height, width: Of the images, in pixels.
        init: What they began from; None: from noise alone.
        mask: Where it was redrawn; None: everywhere.
        strength: How much; None where nothing was.
        safety_checker: Whether one looked at them.
        dtype: Type of the weights, without "torch.".
        tiling: Whether large pictures were decoded in tiles, which blends their edges.
        loras, embeddings: What the pipeline wore.
        controls: ControlNets that led, and by what.
        refiner: What drew the last steps; None where the pipeline drew all.
    """

    model: str
    steps: int
    guidance: float
    eta: float | None
    scheduler: str
    height: int
    width: int
    batch: int
    init: Given | None = None
    mask: Given | None = None
    strength: float | None = None
    safety_checker: bool
    dtype: str = "float32"
    tiling: bool = False
    loras: tuple[Beside, ...] = ()
    embeddings: tuple[Beside, ...] = ()
    controls: tuple[Beside, ...] = ()
    refiner: Beside | None = None

    def mixes_with(self, other: Mapping[str, Any]) -> bool:
        return other.get("model") == self.model


def _few(repeated: Sequence[Any] | None) -> int | None:
    return len(repeated) if repeated is not None and 1 < len(repeated) <= _SIDE_BY_SIDE else None


def of(
    plan: Plan,
    model: Model,
    run: Run,
    checkpoint: Checkpoint,
    weights_from: Literal["ema", "raw"],
    prompts: tuple[str, ...] | None = None,
    negative: str | None = None,
) -> Sampled:
    """Returns the stamp of what a plan draws, of ``prompts`` that repeat in turn."""
    return Sampled(
        kakusan=version("kakusan"),
        run=run.name,
        checkpoint=checkpoint.images,
        weights_from=weights_from,
        weights=model.weights_hash,
        device=model.device.type,
        seed=plan.seed,
        n=plan.n,
        labels=None if plan.labels is None else _cycle(plan.labels.tolist()),
        prompts=prompts,
        negative=negative,
        sampling=plan.settings,
        clip=None if plan.led is None else Led(weights=plan.led.matcher.weights_hash, scale=plan.led.scale),
    )


def of_generation(generation: Generation) -> Generated:
    """Returns the stamp of what a pipeline draws."""
    model, asked, edit = generation.model, generation.request, generation.request.edit
    return Generated(
        kakusan=version("kakusan"),
        model=Path(model.name).name,
        weights=model.weights_hash,
        device=model.device.type,
        seed=asked.seed,
        n=asked.n,
        prompts=asked.prompts,
        negative=asked.negative,
        steps=generation.steps,
        guidance=generation.guidance,
        eta=generation.eta,
        scheduler=asked.scheduler or type(model.pipe.scheduler).__name__,
        height=generation.height,
        width=generation.width,
        batch=asked.batch,
        init=None if edit is None else Given.of(edit.init),
        mask=None if edit is None else Given.of(edit.mask),
        strength=None if edit is None else edit.strength,
        safety_checker=model.pipe.components.get("safety_checker") is not None,
        dtype=str(model.pipe.dtype).removeprefix("torch."),
        tiling=model.memory.tiling,
        **worn_by(model, [Given(path=it.told, sha256=it.picture.sha256) for it in asked.controls]),
    )


def worn_by(model: TextToImage, images: Sequence[Given] = ()) -> dict[str, Any]:
    """Returns what is to be said of what a pipeline wears, and by which ``images`` its ControlNets lead."""
    refiner = model.refiner
    return {
        "loras": tuple(map(Beside.of, model.loras)),
        "embeddings": tuple(map(Beside.of, model.embeddings)),
        "controls": tuple(Beside.of(*pair) for pair in zip(model.controlnets, images, strict=True)),
        "refiner": None if refiner is None else Beside(path=refiner.name, sha256=refiner.weights_hash),
    }


S = TypeVar("S", Sampled, Generated)
_DRAWN_BY = {Sampled: ("run", "kakusan sample RUN"), Generated: ("model", "kakusan generate")}
"""What says from where pictures are, and by which command they were drawn."""


def read(path: Path, kind: type[S]) -> S:
    """Returns the stamp of a picture that was drawn by the command of a kind of stamps.

    Raises:
        KakusanError: It is not a picture of ours, was drawn by another command, or by another version that says other
            things.
    """
    from kakusan import pictures

    metadata = pictures.read_metadata(path)
    for other, (source, command) in _DRAWN_BY.items():
        if other is not kind and source in metadata:
            raise KakusanError(f"{path} was drawn from {metadata[source]} by {command}: {command} --like {path}")
    try:
        return kind.model_validate(metadata)
    except ValidationError as error:
        writer = metadata.get("kakusan", "an unknown version")
        raise KakusanError(
            f"{path} does not say all of how it was drawn: it was written by kakusan {writer}, and this is "
            f"{version('kakusan')} (draw it with that version)"
        ) from error


def require_alone(given: Mapping[str, Any]) -> None:
    """Refuses options that stand beside ``--like``, by which a picture is drawn as it says itself.

    Args:
        given: Values by the names of options; None: not given.

    Raises:
        KakusanError: One is given.
    """
    for name, value in given.items():
        if value is not None:
            option = "-n" if name == "n" else f"--{name.replace('_', '-')}"
            raise KakusanError(f"--like draws a picture as it says itself: leave out {option}")


def _cycle(labels: list[int]) -> tuple[int, ...]:
    """Returns the shortest beginning of the labels that, repeated, gives them all."""
    n = len(labels)
    length = next(k for k in range(1, n + 1) if all(labels[i] == labels[i % k] for i in range(k, n)))
    return tuple(labels[:length])
