"""``kakusan plan``: what a training will cost, before it starts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kakusan import config
from kakusan.commands.fields import fields_of
from kakusan.commands.options import Debug, Json
from kakusan.commands.output import show_facts, show_json

if TYPE_CHECKING:
    from kakusan.results import Forecast


def plan(
    context: typer.Context,
    preset: Annotated[str, typer.Argument(metavar="PRESET|YAML", help="a preset, or the path of a YAML file")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Says what a training will cost, before it starts.

    Trains for twenty seconds, or three steps where these take longer, keeps nothing, and tells time, memory and disk
    to the end, and what to change first. Any field of the configuration may be set, as in kakusan train:
    --training.batch_size 64.
    """
    settings = config.load(preset, fields_of(context))  # refused before anything heavy is imported

    from kakusan.studies.forecast import forecast

    found = forecast(settings, preset)
    show_json(found.as_dict()) if json else show_facts(_in_words(found))


def _in_words(found: Forecast) -> dict[str, Any]:
    """Returns the facts as people write them."""
    parts = {
        "encoding": found.encoding_seconds,
        "training": found.train_seconds,
        "samples": found.samples_seconds,
        "measuring": found.measurements_seconds,
        "held-out loss": found.validation_seconds,
        "saving": found.checkpoints_seconds,
    }
    told = ", ".join(f"{name} {_duration(seconds)}" for name, seconds in parts.items() if seconds >= 1)
    memory = None if found.memory is None else _gibibytes(found.memory)
    there = "" if found.memory_there is None else f" of {_gibibytes(found.memory_there)}"
    first, *others = found.advice or ("nothing stands out",)
    return {
        "parameters": f"{found.parameters:,}",
        "length": f"{found.steps:,} steps, {found.images:,} images",
        "pace": f"{found.images_per_second:,.4g} images/s on {found.device}",
        "data wait": f"{found.data_wait:.1%}",
        "work": f"{found.flop_per_image / 1e9:.3g} GFLOP an image, {found.flops / 1e9:,.4g} GFLOP/s",
        "utilisation": f"{found.utilisation:.0%} of {found.peak_flops / 1e9:,.4g} GFLOP/s, a matrix product's",
        "memory": None if memory is None else f"{memory}{there}",
        "time to the end": f"{_duration(found.seconds)}{f' ({told})' if told else ''}",
        "disk": f"{_gibibytes(found.disk)} of {_gibibytes(found.disk_free)} free",
        "change first": first,
        **{f"then{' ' * place}": other for place, other in enumerate(others)},
    }


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
