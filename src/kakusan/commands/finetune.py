"""``kakusan finetune``: a pipeline learns what a few images show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kakusan.commands.fields import fields_of
from kakusan.commands.options import Debug, Json, Overwrite
from kakusan.commands.train import Shown, carry_out
from kakusan.config.names import CUSTOMISERS, HUB, MODELS
from kakusan.config.wording import either
from kakusan.errors import KakusanError, unknown


def finetune(
    context: typer.Context,
    method: Annotated[
        str | None, typer.Argument(metavar=" | ".join(CUSTOMISERS), help="what learns; each is a preset")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR", help=f"{either(MODELS)}, a pipeline's directory, or {HUB}NAME  [default: mini]"
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="the run directory to write  [default: runs/METHOD-DATE-TIME]")
    ] = None,
    instance_prompt: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="what every image shows; several in turn  [default: its caption]"),
    ] = None,
    class_prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="what is not to be forgotten, its kind above all: images of it are learned beside; several in turn",
        ),
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="WORD", help="the new word of textual inversion  [default: <new>]")
    ] = None,
    rank: Annotated[int | None, typer.Option(metavar="R", help="rank of a LoRA  [default: 4]")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="length in optimizer steps")] = None,
    seed: Annotated[int | None, typer.Option(metavar="INTEGER", help="everything random follows from it")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps")] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(
            metavar="NAME", help="float32, or bfloat16 or float16 for mixed precision; what learns stays float32"
        ),
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="go on with this run; longer, if so asked")] = None,
    overwrite: Overwrite = False,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="print the YAML that the run would use, or its JSON, and train nothing"),
    ] = False,
    json: Json = False,
    debug: Debug = False,
    help: Annotated[  # noqa: A002 (the option's name)
        bool, typer.Option("--help", "-h", help="show this message, or with a method its fields, and exit")
    ] = False,
) -> None:
    """Teaches a pipeline what 3 to 20 images show.

    A lora adds low-rank matrices to its attention, dreambooth changes all of its U-Net, textual-inversion
    finds a new word for it. The images are --data.source DIR; any other field may be set as well.
    """
    given: dict[str, Any] = {
        "network.model": model,
        "network.token": token,
        "network.rank": rank,
        "objective.instance_prompts": tuple(instance_prompt) if instance_prompt else None,
        "objective.class_prompts": tuple(class_prompt) if class_prompt else None,
        **{f"training.{name}": it for name, it in {"steps": steps, "seed": seed, "device": device}.items()},
        "training.dtype": dtype,
    }
    if help and method is None:
        typer.echo(context.get_help())
        return
    if resume is None and method is None:
        raise KakusanError(f"say what shall learn: {either(CUSTOMISERS)} (see kakusan finetune --help)")
    if method is not None and method not in CUSTOMISERS and not Path(method).suffix:
        raise unknown("method", method, CUSTOMISERS)
    fields = fields_of(context) | {name: value for name, value in given.items() if value is not None}
    if resume is None and not help and not print_config and "data.source" not in fields and method in CUSTOMISERS:
        raise KakusanError("say where the images are that it learns from (--data.source DIR)")
    show = Shown(help, print_config, json)
    carry_out(context, method, fields, run=run, resume=resume, overwrite=overwrite, show=show)
