"""``kakusan train``: from a preset or a YAML file to a run directory."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from kakusan import config
from kakusan.commands.fields import fields_help, fields_of, presets_help
from kakusan.commands.options import Debug, Json, Overwrite
from kakusan.commands.output import Interrupted, show_json
from kakusan.errors import KakusanError, counted

if TYPE_CHECKING:
    from kakusan.runs import Run


def train(
    context: typer.Context,
    preset: Annotated[
        str | None, typer.Argument(metavar="PRESET|YAML", help="a preset, or the path of a YAML file")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="the run directory to write  [default: runs/PRESET-DATE-TIME]")
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="length in optimizer steps")] = None,
    images: Annotated[int | None, typer.Option(metavar="N", help="length in images seen")] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="length in passes over the data")] = None,
    seed: Annotated[int | None, typer.Option(metavar="INTEGER", help="everything random follows from it")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps")] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(metavar="NAME", help="float32, or bfloat16 or float16 for mixed precision"),
    ] = None,
    compile: Annotated[  # noqa: A002 (the option's name)
        bool, typer.Option("--compile", help="compile the network first")
    ] = False,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="go on with this run; longer, if so asked")] = None,
    overwrite: Overwrite = False,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="print the YAML that the run would use, or its JSON, and train nothing"),
    ] = False,
    json: Json = False,
    debug: Debug = False,
    help: Annotated[  # noqa: A002 (the option's name)
        bool, typer.Option("--help", "-h", help="show this message, or with a preset its fields, and exit")
    ] = False,
) -> None:
    """Trains a model on images.

    Everything is kept in a run directory. Any field of the configuration may be set as
    well: --optimizer.learning_rate 1e-3, --data.source my-images.
    """
    lengths = {"steps": steps, "images": images, "epochs": epochs}
    others = {"seed": seed, "device": device, "dtype": dtype, "compile": compile or None}
    given = {f"training.{name}": value for name, value in (lengths | others).items() if value is not None}
    if help and preset is None:
        typer.echo(presets_help(context))
        return
    carry_out(
        context,
        preset,
        {**fields_of(context), **given},
        run=run,
        resume=resume,
        overwrite=overwrite,
        show=Shown(help, print_config, json),
    )


class Shown(NamedTuple):
    """What a command shows in the place of training, or after it.

    Attributes:
        help: The fields.
        config: The configuration.
        json: Whether in JSON.
    """

    help: bool
    config: bool
    json: bool


def carry_out(
    context: typer.Context,
    preset: str | None,
    fields: dict[str, Any],
    *,
    run: Path | None,
    resume: Path | None,
    overwrite: bool,
    show: Shown,
) -> None:
    """Trains what a preset or a YAML file says with some fields replaced, or goes on with a run; or shows what it would
    do."""
    source = _source(preset, resume, run, overwrite)
    if resume is None or show.help or show.config:
        settings = config.load(source, fields)  # refused before anything heavy is imported
    if show.help:
        typer.echo(fields_help(context, source, settings))
        return
    if show.config:
        show_json(config.to_mapping(settings)) if show.json else typer.echo(config.to_yaml(settings), nl=False)
        return

    from kakusan import api

    there = api.train(None if resume else source, run=run, resume=resume, overrides=fields, overwrite=overwrite)
    _report(there, show.json)


def _source(preset: str | None, resume: Path | None, run: Path | None, overwrite: bool) -> str:
    """Returns the preset or the YAML file."""
    if resume is None:
        if preset is None:
            raise KakusanError("say what to train: a preset, such as digits, or a YAML file (see kakusan train --help)")
        return preset
    if preset is not None or run is not None or overwrite:
        raise KakusanError("--resume RUN goes on with a run as it is: leave out PRESET, --run and --overwrite")
    return str(resume / "config.yaml")


def _report(run: Run, json: bool) -> None:
    """Says what there is now, and what may be done with it; or, after Ctrl-C, how to go on."""
    checkpoint = run.checkpoint()
    state = checkpoint.state()
    first = os.environ.get("RANK", "0") == "0"  # of several processes one speaks
    interrupted = state["images"] < state["total_images"]
    loss = next((line["loss"] for line in reversed(run.metrics()) if "loss" in line), None)  # all may have been skipped
    if json and first:
        facts = {"run": str(run.path), "images": state["images"], "steps": state["step"], "loss": loss}
        show_json({**facts, "checkpoint": str(checkpoint.path), "interrupted": interrupted})
    if interrupted:
        raise Interrupted  # training has said what was kept, and how to go on
    if first and not json:
        typer.echo(
            f"{run.path}: {counted(state['images'], 'image')} seen{'' if loss is None else f', loss {loss:.4f}'}"
        )
        typer.echo("next, with the running average (EMA) of the weights:")
        typer.echo("\n".join(f"  {it}" for it in _next(run, len(state["class_names"]))))


def _next(run: Run, classes: int) -> list[str]:
    """Returns the commands that use what a run has trained."""
    place, network = quote(str(run.path)), config.load(run.config_path).network
    taken = {
        "autoencoder": f"train PRESET --data.latent {place}",
        "clip": f"train PRESET --network.text_conditional true --text.init {place}",
        "whole": f"generate PROMPT --model {place}/pipeline",
    }
    if isinstance(network, config.models.Customised):
        how = "--lora" if network.kind == "lora" else "--embedding"
        taken |= dict.fromkeys(("lora", "embedding"), f"generate PROMPT --model {quote(network.model)} {how} {place}")
    if network.kind in taken:
        return [f"kakusan report {place}", f"kakusan {taken[network.kind]}"]
    judged = [f"kakusan evaluate {place}"] if classes > 1 else []  # the judge is a classifier
    return [f"kakusan sample {place} -n 64 -o {quote(run.name)}-samples", *judged]
