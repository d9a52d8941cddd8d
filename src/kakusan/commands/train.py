"""``kakusan train``: from a preset or a YAML file to a run directory."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    fields: dict[str, Any] = {**fields_of(context), **given}
    if help and preset is None:
        typer.echo(presets_help(context))
        return
    source = _source(preset, resume, run, overwrite)
    if resume is None or help or print_config:
        settings = config.load(source, fields)  # refused before anything heavy is imported
    if help:
        typer.echo(fields_help(context, source, settings))
        return
    if print_config:
        show_json(config.to_mapping(settings)) if json else typer.echo(config.to_yaml(settings), nl=False)
        return

    from kakusan import api

    there = api.train(None if resume else source, run=run, resume=resume, overrides=fields, overwrite=overwrite)
    _report(there, json)


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
        takes = {"autoencoder": "--data.latent", "clip": "--network.text_conditional true --text.init"}
        if (kind := config.load(run.config_path).network.kind) in takes:
            typer.echo(f"  kakusan report {quote(str(run.path))}")
            typer.echo(f"  kakusan train PRESET {takes[kind]} {quote(str(run.path))}")
            return
        typer.echo(f"  kakusan sample {quote(str(run.path))} -n 64 -o {quote(run.name)}-samples")
        if len(state["class_names"]) > 1:  # the judge is a classifier
            typer.echo(f"  kakusan evaluate {quote(str(run.path))}")
