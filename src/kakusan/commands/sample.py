"""``kakusan sample``: numbered pictures from a run, each of which says how it was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from kakusan.commands import options
from kakusan.commands.options import Debug, Json, Overwrite, RunDirectory
from kakusan.commands.output import show_json
from kakusan.config.names import CLIP_SCALE, lookup
from kakusan.errors import KakusanError, counted

if TYPE_CHECKING:
    from kakusan.commands.stamp import Sampled
    from kakusan.model import Model
    from kakusan.runs import Run
    from kakusan.sampling import Led, Plan

_N = 64
T = TypeVar("T")

_Images = Annotated[int | None, typer.Option("-n", "--n", metavar="N", help=f"how many images  [default: {_N}]")]
_Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="DIR", help="where they go, new or empty  [default: RUN/generated/DATE-TIME]"),
]
_Labels = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="classes, by number or name, that repeat in turn  [default: all of them]"),
]
_Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        metavar="TEXT",
        help="what to draw, in words; several repeat in turn  [default: captions that it learned from]",
    ),
]
_Negative = Annotated[str | None, typer.Option(metavar="TEXT", help="what guidance leads away from, in words")]
_Clip = Annotated[
    str | None,
    typer.Option(
        metavar="RUN|mini",
        help="the run of a CLIP that leads a model without text to what --prompt says, or that of mini",
    ),
]
_ClipScale = Annotated[
    float | None, typer.Option(metavar="S", help=f"how much its cosine counts  [default: {CLIP_SCALE:g}]")
]
_Device = Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps")]


def sample(
    run: RunDirectory,
    n: _Images = None,
    out: _Out = None,
    labels: _Labels = None,
    prompt: _Prompts = None,
    negative: _Negative = None,
    clip: _Clip = None,
    clip_scale: _ClipScale = None,
    sampler: options.Sampler = None,
    steps: options.SamplingSteps = None,
    eta: options.Eta = None,
    variance: options.Variance = None,
    grid: options.Grid = None,
    guidance: options.Guidance = None,
    threshold: options.Threshold = None,
    batch: options.Batch = None,
    seed: options.OptionalSeed = None,
    checkpoint: options.CheckpointImages = None,
    weights_from: options.WeightsFrom = None,
    like: options.Like = None,
    trajectory: options.Trajectory = False,
    device: _Device = None,
    overwrite: Overwrite = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Draws images from a run.

    They are written as numbered PNGs, with a grid of them. What is left out is as the run was
    configured. The settings ride inside every picture.
    """
    how = {"sampler": sampler, "steps": steps, "eta": eta, "variance": variance, "grid": grid}
    how |= {"guidance": guidance, "threshold": threshold, "batch": batch}
    what: dict[str, Any] = {"n": n, "labels": labels, "prompt": prompt, "negative": negative, "seed": seed}
    what |= {"checkpoint": checkpoint, "weights_from": weights_from, "clip_scale": clip_scale}
    _check_names(how)  # before anything heavy is imported

    from kakusan.commands.drawing import draw
    from kakusan.files import require_free
    from kakusan.runs import Run

    opened = Run.open(run)
    if like:
        plan, stamp = _plan_again(opened, like, device, clip, how | what)
    else:
        plan, stamp = _plan(opened, how, device, clip, **what)
    directory = out or run / "generated" / f"{datetime.now():%Y-%m-%d-%H%M%S}"
    require_free(directory, overwrite)
    _announce(plan, stamp)
    names = draw(plan, stamp, directory, trajectory)
    if json:
        show_json({"directory": str(directory), "images": names, **stamp.metadata(stamp.index)})
    else:
        typer.echo(f"{counted(len(names), 'image')} in {directory}")


def _check_names(how: dict[str, Any]) -> None:
    for kind in ("sampler", "grid"):
        if how[kind] is not None:
            lookup(kind, how[kind])


def _plan(
    run: Run,
    how: dict[str, Any],
    device: str | None,
    clip: str | None,
    *,
    n: Any,
    labels: Any,
    prompt: Any,
    negative: Any,
    seed: Any,
    checkpoint: Any,
    weights_from: Any,
    clip_scale: Any,
) -> tuple[Plan, Sampled]:
    """Checks what is asked for."""
    from kakusan import api, sampling
    from kakusan.commands import stamp
    from kakusan.progress import say

    if clip_scale is not None and clip is None:
        raise KakusanError("--clip-scale says how much a CLIP counts: name one (--clip RUN)")
    n, weights_from = _N if n is None else n, weights_from or "ema"
    chosen = run.checkpoint(checkpoint)
    model = api.load(run, checkpoint=chosen.images, weights_from=weights_from, device=device or "auto")
    led = None if clip is None else _led(clip, CLIP_SCALE if clip_scale is None else clip_scale, prompt, n, model)
    plan = sampling.plan(
        model,
        n=n,
        settings=sampling.settings(model.sampling, **how),
        seed=seed or 0,
        labels=_in_turn(None if labels is None else [name.strip() for name in labels.split(",")], n),
        prompts=_in_turn(prompt, n) if led is None else None,
        negative=negative,
        led=led,
    )
    if model.words is not None:
        for remark in model.words.remarks_on(*(prompt or ()), *([negative] if negative else [])):
            say(remark)
    told = prompt or (None if model.words is None else model.words.examples[:n])
    return plan, stamp.of(plan, model, run, chosen, weights_from, tuple(told) if told else None, negative)


def _led(clip: str, scale: float, prompts: Sequence[str] | None, n: int, model: Model) -> Led:
    """Returns what leads to prompts, on the device of the model that is led."""
    from kakusan import api, sampling

    captions = _in_turn(prompts, n)
    if captions is None:
        raise KakusanError("a CLIP leads to what a prompt says: give --prompt")
    return sampling.Led(api.load_clip(clip, device=str(model.device)), captions, scale)


def _plan_again(
    run: Run, like: Path, device: str | None, clip: str | None, given: dict[str, Any]
) -> tuple[Plan, Sampled]:
    """Plans what a picture says; its whole set, since a picture depends, in its last bits, on those drawn with it."""
    from kakusan import api, sampling
    from kakusan.commands import stamp as stamps

    stamps.require_alone(given)
    stamp = stamps.read(like, stamps.Sampled)
    try:
        run.checkpoint(stamp.checkpoint)
    except KakusanError as error:
        raise KakusanError(
            f"{like} was drawn by {stamp.run} after {counted(stamp.checkpoint, 'image')}, and {error}; training on "
            "removes all checkpoints but the latest, and with them such pictures' weights "
            "(go on with a larger --training.keep)"
        ) from error
    model = api.load(run, checkpoint=stamp.checkpoint, weights_from=stamp.weights_from, device=device or stamp.device)
    if model.weights_hash != stamp.weights:
        raise KakusanError(
            f"{like} was drawn with other weights than those of {run.path}: it needs the run {stamp.run}, checkpoint "
            f"{stamp.checkpoint}, {stamp.weights_from} weights with the SHA-256 {stamp.weights[:12]}…, "
            f"not {model.weights_hash[:12]}…"
        )
    if (clip is None) != (stamp.clip is None):
        raise KakusanError(
            f"{like} was drawn {'without a CLIP: leave --clip out' if clip else 'by a CLIP: name its run (--clip RUN)'}"
        )
    led = None
    if clip is not None and stamp.clip is not None:
        led = _led(clip, stamp.clip.scale, stamp.prompts, stamp.n, model)
        if led.matcher.weights_hash != stamp.clip.weights:
            raise KakusanError(
                f"{like} was led by another CLIP than {clip}: it needs that whose weights have the SHA-256 "
                f"{stamp.clip.weights[:12]}…, not {led.matcher.weights_hash[:12]}…"
            )
    plan = sampling.plan(
        model,
        n=stamp.n,
        settings=stamp.sampling,
        seed=stamp.seed,
        labels=_in_turn(stamp.labels, stamp.n),
        prompts=_in_turn(stamp.prompts, stamp.n) if led is None else None,
        negative=stamp.negative,
        led=led,
    )
    return plan, stamp


def _in_turn(given: Sequence[T] | None, n: int) -> list[T] | None:
    """Returns ``n`` labels or prompts, which repeat in turn; None where none are given."""
    return [given[i % len(given)] for i in range(n)] if given else None


def _announce(plan: Plan, stamp: Sampled) -> None:
    from kakusan.progress import say

    say(
        f"drawing with the {'averaged (EMA)' if stamp.weights_from == 'ema' else 'raw'} weights of {stamp.run} after "
        f"{counted(stamp.checkpoint, 'image')}: {plan.settings.sampler}, {counted(plan.steps, 'step')}, "
        f"{counted(plan.network_calls, 'network call')}, "
        f"guidance {plan.settings.guidance:g}, seed {plan.seed}"
    )
