"""``kakusan generate``: numbered pictures of what a pipeline is told, each of which says how it was drawn."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from kakusan.commands.options import Batch, Debug, Device, Json, Overwrite, Seed
from kakusan.commands.output import show_json
from kakusan.config.names import HUB, MODELS, SCHEDULERS
from kakusan.config.wording import either
from kakusan.errors import KakusanError, counted, reason_of

_N = 8


def generate(
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="what to draw, in words; several repeat in turn")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="a text with a prompt in every line, which come after the others"),
    ] = None,
    model: Annotated[
        str,
        typer.Option(metavar="NAME|DIR", help=f"{either(MODELS)}, a StableDiffusionPipeline's directory, or {HUB}NAME"),
    ] = "mini",
    n: Annotated[int, typer.Option("-n", "--n", metavar="N", help="how many images")] = _N,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="where they go, new or empty  [default: generated/DATE-TIME]"),
    ] = None,
    negative: Annotated[
        str | None, typer.Option(metavar="TEXT", help="what guidance leads away from, in words")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="K", help="steps of the walk  [default: the model's own, or 50]")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            metavar="W", help="1 is plainly conditional, above exaggerates  [default: the model's own, or 7.5]"
        ),
    ] = None,
    eta: Annotated[
        float | None,
        typer.Option(metavar="E", help="randomness of DDIM: 0 none, 1 that of DDPM  [default: the model's own, or 0]"),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{either(SCHEDULERS)}  [default: the model's own]")
    ] = None,
    height: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="a multiple of 8  [default: as the model was trained]")
    ] = None,
    width: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="a multiple of 8  [default: as the model was trained]")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a picture to begin from; its size is that of the images")
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(metavar="S", help="how much of it is redrawn: above 0, little, to 1, all  [default: 0.8]"),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a picture as large as that, white where it is to be redrawn")
    ] = None,
    seed: Seed = 0,
    batch: Batch = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Draws images of what it is told in words, with a model that is trained already.

    They are written as numbered PNGs, with a grid of them. The settings ride inside every picture.
    """
    from kakusan import stable_diffusion
    from kakusan.commands import stamp
    from kakusan.commands.drawing import write
    from kakusan.files import require_free
    from kakusan.progress import Bar, say

    directory = out or Path("generated") / f"{datetime.now():%Y-%m-%d-%H%M%S}"
    require_free(directory, overwrite)
    # Before a model is loaded.
    asked_for = [*(prompt or ()), *(_lines(prompts) if prompts else ())]
    if not asked_for:
        raise KakusanError(
            'nothing is asked for: say in words what to draw (kakusan generate "a red circle", or --prompts FILE)'
        )
    edit = stable_diffusion.edit_of(init, mask, strength)
    stable_diffusion.require(scheduler=scheduler, eta=eta, height=height, width=width, edit=edit)
    asked = stable_diffusion.asked(
        stable_diffusion.opened(model, device),
        asked_for,
        n=n,
        negative=negative,
        steps=steps,
        guidance=guidance,
        eta=eta,
        scheduler=scheduler,
        height=height,
        width=width,
        edit=edit,
        seed=seed,
        batch=stable_diffusion.BATCH if batch is None else batch,
    )
    for remark in asked.remarks():
        say(remark)
    how = stamp.of_generation(asked)
    say(f"{model}: {how.scheduler}, {counted(asked.steps, 'step')}, guidance {asked.guidance:g}, seed {asked.seed}")
    with Bar("drawing", 1) as bar:
        names = write(((images, [drawn]) for images, drawn in asked.chunks(bar.report)), how, directory)
    if json:
        show_json({"directory": str(directory), "images": names, **how.metadata()})
    else:
        typer.echo(f"{counted(len(names), 'image')} in {directory}")


def _lines(file: Path) -> list[str]:
    """Returns the prompts of a text, one a line."""
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise KakusanError(f"cannot read the prompts of {file}: {reason} (give a text in UTF-8)") from error
    if "" in lines:
        raise KakusanError(f"{file}: line {lines.index('') + 1} is empty, and each is a prompt (remove it)")
    return lines
