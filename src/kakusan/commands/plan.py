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

    Trains for twenty seconds, keeps nothing, and tells time, memory and disk to the end, and what to change first. Any
    field of the configuration may be set, as in kakusan train: --training.batch_size 64.
    """
    settings = config.load(preset, fields_of(context))  # refused before anything heavy is imported

    from kakusan.studies.plan import plan as study

    forecast = study(settings, preset)
    show_json(forecast.as_dict()) if json else show_facts(_in_words(forecast))


def _in_words(forecast: Forecast) -> dict[str, Any]:
    """Returns the facts as people write them."""
    parts = {
        "training": forecast.train_seconds,
        "samples": forecast.samples_seconds,
        "held-out loss": forecast.validation_seconds,
        "saving": forecast.checkpoints_seconds,
    }
    told = ", ".join(f"{name} {_duration(seconds)}" for name, seconds in parts.items() if seconds >= 1)
    memory = None if forecast.memory is None else _gibibytes(forecast.memory)
    there = "" if forecast.memory_there is None else f" of {_gibibytes(forecast.memory_there)}"
    first, *others = forecast.advice or ("nothing stands out",)
    return {
        "parameters": f"{forecast.parameters:,}",
        "length": f"{forecast.steps:,} steps, {forecast.images:,} images",
        "pace": f"{forecast.images_per_second:,.4g} images/s on {forecast.device}",
        "data wait": f"{forecast.data_wait:.1%}",
        "work": f"{forecast.flop_per_image / 1e9:.3g} GFLOP an image, {forecast.flops / 1e9:,.4g} GFLOP/s",
        "utilisation": f"{forecast.utilisation:.0%} of {forecast.peak_flops / 1e9:,.4g} GFLOP/s, a matrix product's",
        "memory": None if memory is None else f"{memory}{there}",
        "time to the end": f"{_duration(forecast.seconds)}{f' ({told})' if told else ''}",
        "disk": f"{_gibibytes(forecast.disk)} of {_gibibytes(forecast.disk_free)} free",
        "change first": first,
        **{f"then{' ' * place}": other for place, other in enumerate(others)},
    }


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
