"""``kakusan evaluate``: how good images are, beside what real images score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kakusan.commands import options
from kakusan.commands.options import Debug, Json
from kakusan.commands.output import Interrupted, in_words, show_json, show_table
from kakusan.errors import KakusanError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kakusan.results import Judgement, Measurement, OfClass
    from kakusan.runs import Run

_CLASS = ("class (real images)", "samples", "share of all", "accuracy", "coverage", "Fréchet distance")
_NAMED = {"nfe": "network calls an image", "splits": "random splits"}


def evaluate(
    what: Annotated[Path, typer.Argument(metavar="RUN|DIR|ARCHIVE", help="a run, or images in a folder or an archive")],
    n: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--n",
            metavar="N",
            help="samples to draw; without --metrics as many real ones stand on each side  [default: half of the real "
            "images; for --metrics as many as those, at most 50,000]",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="real images, FILE.npz of statistics, or a run, which draws as it is configured, whatever the options "
            "say of the first  [default: what it learned from]",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="fid, is, kid, prc, copies, copies-pixels, diversity; of pairs by file name psnr, ssim, lpips; "
            "of captions clip and, of scenes, prompts  [default: a distance by a classifier of the data's own]",
        ),
    ] = None,
    sampler: options.Sampler = None,
    steps: options.SamplingSteps = None,
    guidance: options.Guidance = None,
    seed: options.Seed = 0,
    checkpoint: options.CheckpointImages = None,
    weights_from: options.WeightsFrom = None,
    weights: options.Weights = None,
    offline: options.Offline = False,
    keep_statistics: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="keep the statistics of the images, for --against"),
    ] = None,
    draw_nearest: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="draw the samples nearest to a real image, above that image")
    ] = None,
    device: options.Device = "auto",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Judges samples of a run, or images, beside real images.

    Every number comes with its protocol and beside what real images score: with the noise floor.
    """
    from kakusan.runs import Run

    how: dict[str, Any] = {
        "against": against,
        "n": n,
        "sampler": sampler,
        "steps": steps,
        "guidance_scale": guidance,
        "seed": seed,
        "checkpoint": checkpoint,
        "weights_from": weights_from,
        "device": device,
    }
    for_metrics = {"weights": weights, "keep_statistics": keep_statistics, "draw_nearest": draw_nearest}
    for name, value in (for_metrics | {"offline": offline or None}).items():
        if metrics is None and value is not None:
            which = "copies" if name == "draw_nearest" else "fid"
            raise KakusanError(
                f"--{name.replace('_', '-')} belongs to published metrics: say which (--metrics {which})"
            )
    if metrics is None and what.exists() and not Run.is_at(what):
        raise KakusanError(f"{what} is no run, and images alone are measured by published metrics (--metrics fid)")
    run = Run.open(what) if metrics is None or Run.is_at(what) else None
    try:
        _measure(run, what, metrics, how, {**for_metrics, "offline": offline}, json)
    except KeyboardInterrupt:
        kept = "; what networks saw of the images for distances is kept, and the same command goes on"
        raise Interrupted(f"interrupted{kept}") from None


def _measure(
    run: Run | None, what: Path, metrics: str | None, how: dict[str, Any], more: dict[str, Any], json: bool
) -> None:
    from kakusan import api
    from kakusan.progress import say

    if metrics is None:
        assert run is not None
        judgement = api.evaluate(run, **how)
        say("judged by a classifier of the images' own (published metrics: --metrics fid,is)")
        _record(run, {"evaluation": judgement.as_dict()})
        if json:
            show_json(judgement.as_dict())
        else:
            _show_judgement(judgement)
        return
    found = api.measure(run or str(what), metrics, **how, **more)
    document = {"measurements": [it.as_dict() for it in found]}
    if run is not None:
        _record(run, document)
    if json:
        show_json(document)
    else:
        _show_measurements(found)


def _record(run: Run, line: Mapping[str, Any]) -> None:
    from kakusan.progress import say

    try:
        run.record(line)
    except KakusanError as error:  # a run that may only be read can be judged all the same
        say(f"not added to the run's metrics: {error}")


def _show_judgement(judgement: Judgement) -> None:
    distance, interval = f"{judgement.frechet_distance:.2f}", judgement.frechet_distance_interval
    if interval is not None:
        distance += f" ({interval[0]:.2f} to {interval[1]:.2f})"
    floor = f"{judgement.noise_floor:.2f} ± {judgement.noise_floor_spread:.2f}"
    rows = [("", "samples (95 % interval)", "real images (noise floor)"), ("Fréchet distance", distance, floor)]
    if judgement.frechet_distance_infinity is not None:
        real = judgement.noise_floor_infinity
        limit = f"{judgement.frechet_distance_infinity:.2f}"
        rows.append(("of infinitely many", limit, "" if real is None else f"{real:.2f}"))
    if judgement.class_accuracy is not None:
        rows.append(("class accuracy", _share(judgement.class_accuracy), _share(judgement.classifier_accuracy)))
    if judgement.inception_score is not None:
        rows.append(("Inception score", f"{judgement.inception_score:.2f}", f"{judgement.real_inception_score:.2f}"))
    if judgement.copies is not None:
        rows.append(("near-copies", _share(judgement.copies), _share(judgement.real_copies)))
    show_table(rows)
    typer.echo()
    if judgement.classes:
        show_table([_CLASS, *map(_class_row, judgement.classes)])
        typer.echo()
    _show_protocol(judgement.protocol)


def _class_row(of: OfClass) -> tuple[str, ...]:
    return (
        of.name,
        f"{of.n:,}",
        f"{_share(of.share)} ({_share(of.real_share)})",
        _share(of.accuracy),
        f"{_share(of.coverage)} ({_share(of.real_coverage)})",
        "" if of.frechet_distance is None else f"{of.frechet_distance:.2f} ({of.noise_floor:.2f})",
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _show_measurements(found: list[Measurement]) -> None:
    from kakusan.results import shared

    drawn = any("reference_weights" in it.protocol for it in found)
    others = "the other run's samples alone" if drawn else "real images"
    rows = [("", "value", "95 % interval", "of infinitely many samples", f"{others} (noise floor)")]
    for it in found:
        interval = "" if it.interval is None else "{:.4g} to {:.4g}".format(*it.interval)
        floor = "" if it.noise_floor is None else f"{it.noise_floor:.4g}, of {it.noise_floor_n:,}"
        floor += "" if it.noise_floor_against is None else f" against {it.noise_floor_against:,}"
        rows.append(
            (it.metric, f"{it.value:.4g}", interval, "" if it.infinity is None else in_words(it.infinity), floor)
        )
    show_table(rows)
    typer.echo()
    common = shared([it.protocol for it in found])
    _show_protocol(common)
    for it in found:
        own = {name: value for name, value in it.protocol.items() if name not in (*common, "metric")}
        told = ", ".join(f"{name} {in_words(value)}" for name, value in own.items())
        typer.echo(f"{it.metric}: {told}" if told else "", nl=bool(told))


def _show_protocol(protocol: Mapping[str, Any]) -> None:
    show_table([(_NAMED.get(name, name.replace("_", " ")), in_words(value)) for name, value in protocol.items()])
