"""From seeds to images: what is drawn, along which times, and the loop that drives a sampler.

Image i has its own seed, so it starts from the same noise whatever the batch it is drawn in, and on any device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral

import torch
from torch import Tensor

from kakusan import config, seeds
from kakusan.codec import Codec
from kakusan.condition import Condition, Labels, one_an_image
from kakusan.config.models import Sampling
from kakusan.config.names import CLIP_SCALE, GRIDS, SAMPLERS, TAKERS, load
from kakusan.denoiser import Bind, Denoise, Denoiser, expand, modules_in
from kakusan.devices import device_of
from kakusan.errors import KakusanError, counted
from kakusan.guidance import ClassifierFree, Clip, CLIPGuidance, DynamicThreshold
from kakusan.matcher import Matcher
from kakusan.model import Model
from kakusan.networks import Captioned
from kakusan.networks.mode import evaluating
from kakusan.samplers.step import Step
from kakusan.schedules import Chain

Progress = Callable[[int, int], None]


def settings(defaults: Sampling, **given: object) -> Sampling:
    """Returns the ``defaults`` with what was ``given``, that is not None, in their place.

    Steps, grid, η and variance of one sampler say nothing about another, which takes its own unless they are given.

    Raises:
        KakusanError: Something given is unknown or out of its range.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    another = chosen.get("sampler", defaults.sampler) != defaults.sampler
    kept = defaults.model_dump(exclude={"steps", "grid", *TAKERS} if another else None)
    changed: Sampling = config.section("sampling", kept | chosen)
    return changed


@dataclass(frozen=True)
class Led:
    """By what a walk is led beside its own condition: by a CLIP, to where pictures agree with captions.

    Attributes:
        matcher: The CLIP.
        captions: One an image, or one for all.
        scale: How much its cosine counts.

    Raises:
        KakusanError: The scale is negative, or no number.
    """

    matcher: Matcher
    captions: str | Sequence[str]
    scale: float

    def __post_init__(self) -> None:
        if not 0 <= self.scale < math.inf:
            raise KakusanError(
                f"the scale of a CLIP's guidance must be 0, which leads nowhere, or more, not {self.scale:g} "
                f"({CLIP_SCALE:g} is usual)"
            )

    def by(self, denoise: Denoise, images: range, codec: Codec | None) -> Denoise:
        """Returns a denoiser that leads the given images of a plan."""
        if isinstance(self.captions, str):
            captions: Sequence[str] = [self.captions] * len(images)
        else:
            captions = self.captions[images.start : images.stop]
        told = self.matcher.of_captions(captions)

        def score(x0: Tensor) -> Tensor:
            pictures = x0 if codec is None else codec.network.decode(x0)
            return self.matcher.agreement(pictures.clamp(-1, 1), told)

        return CLIPGuidance(denoise, score, self.scale)


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is drawn, checked before the first network call.

    Attributes:
        denoiser: A denoiser that takes conditions, or any object with ``schedule`` and ``__call__(x, t)``.
        settings: Sampler, grid, steps, guidance and so on; none is left to a default.
        times: The grid, float64, shape (K + 1,).
        shape: (C, H, W) of an image.
        condition: One entry an image, or None.
        unconditional: What guidance leads away from, one entry an image; None: from no condition.
        led: By what it is led besides; None for nothing.
        seed: The seed of the run.
        n: How many images.
        codec: What makes images of the latents that are walked; None where images themselves are.
    """

    denoiser: Denoiser | Denoise
    settings: Sampling
    times: Tensor
    shape: tuple[int, ...]
    condition: Condition | None
    seed: int
    n: int
    codec: Codec | None = None
    unconditional: Condition | None = None
    led: Led | None = None

    @property
    def steps(self) -> int:
        """Steps of one walk."""
        return len(self.times) - 1

    @property
    def network_calls(self) -> int:
        """Network calls of one walk; a conditional and an unconditional half of one batch are one call."""
        calls = SAMPLERS[self.settings.sampler].calls_per_step
        return calls * self.steps - (calls - 1 if self.times[-1] == 0 else 0)

    @property
    def device(self) -> torch.device:
        """Where the images are drawn."""
        modules = modules_in(self.denoiser)
        return device_of(modules[0]) if modules else torch.device("cpu")

    @property
    def labels(self) -> Tensor | None:
        """The classes of the images, int64, shape (n,); None without."""
        return None if self.condition is None else self.condition.labels

    def chunks(self) -> list[range]:
        """The images of every chunk that is drawn at a time."""
        return [range(i, min(i + self.settings.batch, self.n)) for i in range(0, self.n, self.settings.batch)]

    def walk(self, images: range) -> Iterator[Step]:
        """Walks the given images from noise to data, yielding every step; in latents, where there is a codec.

        Raises:
            KakusanError: At the end they are NaN or infinite.
        """
        noise = seeds.ImageNoise(self.seed, images)
        condition, unconditional = (
            None if it is None else it[images.start : images.stop].to(self.device)
            for it in (self.condition, self.unconditional)
        )
        denoise = _told(self.denoiser, condition, unconditional, self.settings.guidance)
        if self.led is not None:
            denoise = self.led.by(denoise, images, self.codec)
        denoise = _kept_in_range(denoise, self.settings.threshold)
        shape = self.shape if self.codec is None else self.codec.latent_shape
        x = noise(torch.empty(len(images), *shape, device=self.device))
        x = x * expand(self.denoiser.schedule(self.times[0])[1], x)
        sampler = load(SAMPLERS[self.settings.sampler])
        for step in sampler(denoise, x, self.times, noise=noise, **_options(self.settings)):
            if step.index == self.steps - 1 and not step.x.isfinite().all():
                raise KakusanError(
                    f"the samples {images.start} to {images.stop - 1} became NaN or infinite (try float32, or weights "
                    "from before training went wrong)"
                )
            yield step

    def pictures(self, x: Tensor) -> Tensor:
        """Returns what has been walked, shape (B, …), as images, shape (B, C, H, W)."""
        return x if self.codec is None else self.codec.decode(x)


def plan(
    model: Model | Denoiser | Denoise,
    *,
    n: int,
    settings: Sampling,
    seed: int = 0,
    labels: Labels | None = None,
    prompts: str | Sequence[str] | None = None,
    negative: str | Sequence[str] | None = None,
    led: Led | None = None,
    shape: Sequence[int] | None = None,
) -> Plan:
    """Checks what is asked for, and returns the plan of it.

    Args:
        model: A model, or with ``shape`` any denoiser.
        n: How many images, at least 1.
        settings: Sampler, steps, guidance and so on.
        seed: Image i's noise follows from this and i.
        labels: One an image; None gives each class of a model in turn.
        prompts: One an image, or one for all; None gives captions that the model learned from, in turn.
        negative: What guidance leads away from, in words: likewise; None leads away from no condition.
        led: By what the walk is led besides; a model that reads is told its captions too, unless there are prompts.
        shape: (C, H, W), for anything but a model.

    Raises:
        KakusanError: Something asked for cannot be had; nothing was computed.
    """
    require_count(n, seed)
    if shape is not None:
        shape = _whole_shape(shape)
    if isinstance(model, Model):
        if shape not in (None, model.shape):
            raise KakusanError(f"this model draws images of shape {model.shape}, not {shape} (leave shape out)")
        denoiser: Denoiser | Denoise = model.denoiser
        told = led.captions if led is not None and prompts is None and model.words is not None else prompts
        condition = model.condition(labels, n, told)
        shape = model.shape
    else:
        if shape is None:
            raise KakusanError("a bare denoiser does not know the size of its images: give shape=(C, H, W)")
        denoiser = model
        if prompts is not None or negative is not None:
            raise KakusanError("prompts and a negative go to a model that reads text: a bare denoiser knows no words")
        condition = _bare_condition(model, labels, n)
    if settings.guidance != 1 and condition is None:
        raise KakusanError(
            f"guidance {settings.guidance:g} needs a condition to be guided by, and there is none (use guidance 1)"
        )
    if negative is not None and (condition is None or condition.words is None):
        raise KakusanError("this model reads no text, and a negative is one (leave negative out)")
    if negative is not None and settings.guidance in (0, 1):
        raise KakusanError(
            f"guidance leads away from a negative, and at {settings.guidance:g} there is none (use guidance 3, say)"
        )
    unconditional = None
    if negative is not None and isinstance(model, Model) and condition is not None:
        away = model.condition(None, n, negative)
        unconditional = replace(condition.null(), words=None if away is None else away.words)
    codec = model.codec if isinstance(model, Model) else None
    if led is not None:
        _require_led(led, shape, n)
    if codec is not None and settings.threshold not in (None, "none"):
        raise KakusanError(
            f"threshold {settings.threshold} keeps pixels in their range, and latents have none (use threshold none)"
        )
    settings = _resolved(denoiser, settings, "clip" if codec is None else "none")
    times = load(GRIDS[str(settings.grid)])(denoiser.schedule, settings.steps)
    return Plan(denoiser, settings, times, shape, condition, seed, n, codec, unconditional, led)


def sample(plan: Plan, progress: Progress | None = None) -> Tensor:
    """Draws the images of a plan, shape (n, C, H, W), on the model's device and in its chunks.

    Args:
        plan: What is drawn.
        progress: Called after every step with the steps done and the steps there are.
    """
    return torch.cat([draw(plan, images, progress) for images in plan.chunks()])


def draw(plan: Plan, images: range, progress: Progress | None = None) -> Tensor:
    """Draws one chunk of a plan, shape (B, C, H, W), on the model's device.

    Args:
        plan: What is drawn.
        images: Those of the chunk.
        progress: Called after every step with the steps done and the steps there are, in all chunks.

    Raises:
        KakusanError: They became NaN or infinite.
    """
    before = images.start // plan.settings.batch * plan.steps
    with evaluating(*modules_in(plan.denoiser)):
        for step in plan.walk(images):
            if progress is not None:
                progress(before + step.index + 1, plan.steps * len(plan.chunks()))
    return plan.pictures(step.x)


def walk(plan: Plan) -> Iterator[Step]:
    """Yields every step of a plan whose images are all drawn at once.

    Dropout and the like are off while a step is computed, and as they were while its consumer has it.
    """
    steps = plan.walk(range(plan.n))
    for _ in range(plan.steps):
        with evaluating(*modules_in(plan.denoiser)):
            step = next(steps)
            if plan.codec is not None:
                step = replace(step, x=plan.pictures(step.x), x0=plan.pictures(step.x0))
        yield step


def require_count(n: int, seed: int) -> None:
    """Refuses a count of images below 1, and what is no whole number.

    Raises:
        KakusanError: One of them cannot be.
    """
    _require_whole(n=n, seed=seed)
    if n < 1:
        raise KakusanError(f"n must be at least 1 image, not {n} (ask for one or more)")


def _require_whole(**numbers: object) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise KakusanError(f"{name} must be a whole number, not {value!r}")


def _whole_shape(shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    if not sizes or not all(isinstance(size, Integral) and size >= 1 for size in sizes):
        raise KakusanError(f"shape must be that of one image, (C, H, W), in whole numbers of at least 1, not {shape!r}")
    return sizes


def _bare_condition(denoiser: Denoiser | Denoise, labels: Labels | None, n: int) -> Condition | None:
    if labels is None:
        return None
    if not isinstance(denoiser, Denoiser):
        raise KakusanError("labels go to a model or a Denoiser; anything else has its condition bound already")
    numbers = one_an_image(labels, n)
    if any(isinstance(number, str) for number in numbers):
        raise KakusanError("a bare Denoiser does not know the names of its classes: give labels as numbers")
    return Condition(labels=torch.tensor(numbers, dtype=torch.int64))


def _require_led(led: Led, shape: Sequence[int], n: int) -> None:
    if tuple(shape) != led.matcher.shape:
        raise KakusanError(
            f"a CLIP of pictures of shape {led.matcher.shape} does not lead those of shape {tuple(shape)} (train "
            "one on pictures as large)"
        )
    if not isinstance(led.captions, str) and len(led.captions) != n:
        raise KakusanError(
            f"a CLIP leads {counted(n, 'image')} by one caption each, or one for all, not {len(led.captions)}"
        )


def _told(
    denoiser: Denoiser | Denoise, condition: Condition | None, unconditional: Condition | None, guidance: float
) -> Denoise:
    """Returns the denoiser with its condition bound, and guided by it."""
    if condition is not None and isinstance(denoiser, Denoiser) and isinstance(denoiser.network, Captioned):
        # Read once for the whole walk, not at every step of it.
        unconditional = _read(denoiser.network, condition.null() if unconditional is None else unconditional)
        condition = _read(denoiser.network, condition)
    if not isinstance(denoiser, Denoiser):
        return denoiser
    if condition is None:
        return Bind(denoiser)
    return ClassifierFree(denoiser, condition, guidance, unconditional)


def _kept_in_range(denoise: Denoise, threshold: str | None) -> Denoise:
    """Returns the denoiser whose predicted pixels are kept in range, as the outermost of all."""
    match threshold:
        case "clip":
            return Clip(denoise)
        case "dynamic":
            return DynamicThreshold(denoise)
    return denoise


@torch.no_grad()
def _read(network: Captioned, condition: Condition) -> Condition:
    return network.read(condition)


def _resolved(denoiser: Denoiser | Denoise, settings: Sampling, threshold: str) -> Sampling:
    """Returns the settings with the sampler's own steps and grid, and the usual ``threshold``, where none are given.

    A network whose ``whole_steps_only`` is true is walked by the steps of its chain, whatever the sampler's own grid.
    """
    sampler, schedule = SAMPLERS[settings.sampler], denoiser.schedule
    steps, grid = settings.steps, sampler.default_grid
    parts = [part for module in modules_in(denoiser) for part in module.modules()]
    if any(getattr(part, "whole_steps_only", False) is True for part in parts):
        grid = "trailing"
    if steps is None:
        whole = schedule.steps if isinstance(schedule, Chain) else 1000
        steps = whole if sampler.default_steps is None else min(sampler.default_steps, whole)
    own = {"steps": steps, "grid": settings.grid or grid, "threshold": settings.threshold or threshold}
    return settings.model_copy(update=own)


def _options(settings: Sampling) -> dict[str, object]:
    """Returns what a sampler takes beyond what they all do."""
    return {name: getattr(settings, name) for name, takers in TAKERS.items() if settings.sampler in takers}
