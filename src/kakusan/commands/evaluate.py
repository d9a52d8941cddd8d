"""``kakusan evaluate``: how good samples are, beside what real images score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kakusan.commands import options
from kakusan.commands.options import Debug, Json, RunDirectory
from kakusan.commands.output import in_words, show_json, show_table
from kakusan.errors import KakusanError

if TYPE_CHECKING:
    from kakusan.results import Judgement


def evaluate(
    run: RunDirectory,
    n: Annotated[
        int | None, typer.Option("-n", "--n", metavar="N", help="images on each side  [default: half of the real ones]")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="labelled real images  [default: what the run learned from]")
    ] = None,
    sampler: options.Sampler = None,
    steps: options.SamplingSteps = None,
    guidance: options.Guidance = None,
    seed: options.Seed = 0,
    checkpoint: options.CheckpointImages = None,
    weights_from: options.WeightsFrom = None,
    device: options.Device = "auto",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Judges samples of a run, beside real images.

    Every number comes with its protocol and beside what real images score: with the noise floor.
    """
    from kakusan import api
    from kakusan.progress import say
    from kakusan.runs import Run

    opened = Run.open(run)
    judgement = api.evaluate(
        opened,
        against=against,
        n=n,
        sampler=sampler,
        steps=steps,
        guidance_scale=guidance,
        seed=seed,
        checkpoint=checkpoint,
        weights_from=weights_from,
        device=device,
    )
    try:
        opened.record({"evaluation": judgement.as_dict()})
    except KakusanError as error:  # a run that may only be read can be judged all the same
        say(f"not added to the run's metrics: {error}")
    if json:
        show_json(judgement.as_dict())
    else:
        _show(judgement)


def _show(judgement: Judgement) -> None:
    distance = f"{judgement.frechet_distance:.2f} ± {judgement.frechet_distance_spread:.2f}"
    floor = f"{judgement.noise_floor:.2f} ± {judgement.noise_floor_spread:.2f}"
    rows = [("", "samples", "real images (noise floor)"), ("Fréchet distance", distance, floor)]
    if judgement.class_accuracy is not None:
        rows.append(("class accuracy", f"{judgement.class_accuracy:.1%}", f"{judgement.classifier_accuracy:.1%}"))
    show_table(rows)
    typer.echo()
    named: dict[str, Any] = {"nfe": "network calls an image", "splits": "random splits"}
    show_table([(named.get(name, name), in_words(value)) for name, value in judgement.protocol.items()])
