"""``kakusan export`` and ``kakusan import``: to and from diffusers."""

from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

import typer

from kakusan.commands.options import CheckpointImages, Debug, Json, Overwrite, WeightsFrom
from kakusan.commands.output import show_json
from kakusan.config.names import MODELS, shipped
from kakusan.errors import KakusanError


def export(
    run: Annotated[
        str,
        typer.Argument(metavar=f"RUN|{'|'.join(MODELS)}", help="a run directory, or a model that ships with kakusan"),
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="where it goes, new or empty")],
    to: Annotated[Literal["diffusers"], typer.Option(metavar="diffusers", help="whose form it takes")] = "diffusers",
    checkpoint: CheckpointImages = None,
    weights_from: WeightsFrom = None,
    dtype: Annotated[
        Literal["float32", "float16"] | None,
        typer.Option(metavar="float32|float16", help="float16: half as large, rounded  [default: float32]"),
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(metavar="RUN", help="the run of a CLIP that goes with it, for ranking and guidance")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Writes a run as diffusers loads it, with a card that says how to draw from it.

    What diffusers loads is compared with the run, and is the same model. One that ships with kakusan goes as it is.
    """
    if shipped(run) is not None:  # a run of that name is ./NAME
        from kakusan.api.exchange import export_shipped

        given = {"--checkpoint": checkpoint, "--weights-from": weights_from, "--dtype": dtype, "--clip": clip}
        if more := [option for option, value in given.items() if value is not None]:
            raise KakusanError(f"{run} goes as it is, with its CLIP and in half precision (leave {more[0]} out)")
        export_shipped(run, directory, overwrite=overwrite)
        if json:
            show_json({"directory": str(directory), "to": to, "model": run})
        else:
            typer.echo(f"{directory}: README.md there says how to draw")
        return
    from kakusan.api.exchange import export as written

    weights_from = weights_from or "ema"
    found = written(
        run,
        directory,
        checkpoint=checkpoint,
        weights_from=weights_from,
        dtype=dtype or "float32",
        clip=clip,
        overwrite=overwrite,
    )
    if json:
        differences = {"call": found.call, "image": found.image, "steps": found.steps}
        show_json({"directory": str(directory), "to": to, "differences": differences})
        return
    typer.echo(f"{directory}: what diffusers loads differs by {found.call:.1e} in a call of the network, and by")
    typer.echo(f"{found.image:.1e} in images of {found.steps} steps of DDIM; README.md there says how to draw")


def import_(
    pipeline: Annotated[
        str, typer.Argument(metavar="DIR|NAME", help="a diffusers pipeline: its directory, mini, or hub:OWNER/NAME")
    ],
    run: Annotated[Path, typer.Option(metavar="DIR", help="the run directory to write, new or empty")],
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="names of its classes  [default: as our own export says, or numbers]"),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Makes a run directory of a diffusers pipeline: unconditional, conditioned on classes or on text, or in latents.

    Of its classes the last is taken for the null class, as exports have it.
    """
    from kakusan.api.exchange import import_ as made

    names = [] if classes is None else [name.strip() for name in classes.split(",")]
    there = made(pipeline, run, class_names=names, overwrite=overwrite)
    if json:
        show_json({"run": str(there.path), "from": pipeline})
        return
    typer.echo(f"{there.path}: next")
    prompt = ' --prompt "…"' if there.words_path.exists() else ""
    typer.echo(f"  kakusan sample {quote(str(there.path))}{prompt} -n 16")
    typer.echo(f"  kakusan train PRESET --network.init {quote(str(there.path))}")
