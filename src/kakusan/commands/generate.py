"""``kakusan generate``: numbered pictures of what a pipeline is told, each of which says how it was drawn."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kakusan.commands.options import Batch, Debug, Device, Json, Like, OptionalSeed, Overwrite
from kakusan.commands.output import show_json
from kakusan.config.names import HUB, MODELS, SCHEDULERS
from kakusan.config.wording import either
from kakusan.errors import KakusanError, counted, reason_alone

if TYPE_CHECKING:
    from kakusan.commands.stamp import Generated
    from kakusan.stable_diffusion import Request

_MODEL, _N = "mini", 8

_Prompt = Annotated[
    list[str] | None, typer.Argument(metavar="PROMPT", help="what to draw, in words; several repeat in turn")
]
_Prompts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="a text with a prompt in every line, which come after the others"),
]
_Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR",
        help=f"{either(MODELS)}, a StableDiffusionPipeline's directory, or {HUB}NAME  [default: {_MODEL}]",
    ),
]
_Images = Annotated[int | None, typer.Option("-n", "--n", metavar="N", help=f"how many images  [default: {_N}]")]
_Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="DIR", help="where they go, new or empty  [default: generated/DATE-TIME]"),
]
_Negative = Annotated[str | None, typer.Option(metavar="TEXT", help="what guidance leads away from, in words")]
_Steps = Annotated[int | None, typer.Option(metavar="K", help="steps of the walk  [default: the model's own, or 50]")]
_Guidance = Annotated[
    float | None,
    typer.Option(metavar="W", help="1 is plainly conditional, above exaggerates  [default: the model's own, or 7.5]"),
]
_Eta = Annotated[
    float | None,
    typer.Option(metavar="E", help="randomness of DDIM: 0 none, 1 that of DDPM  [default: the model's own, or 0]"),
]
_Scheduler = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"{either(SCHEDULERS)}  [default: the model's own]")
]
_Side = Annotated[
    int | None, typer.Option(metavar="PIXELS", help="a multiple of 8  [default: as the model was trained]")
]
_Init = Annotated[
    Path | None, typer.Option(metavar="FILE", help="a picture to begin from; its size is that of the images")
]
_Strength = Annotated[
    float | None,
    typer.Option(metavar="S", help="how much of it is redrawn: above 0, little, to 1, all  [default: 0.8]"),
]
_Mask = Annotated[
    Path | None, typer.Option(metavar="FILE", help="a picture as large as that, white where it is to be redrawn")
]


def generate(
    prompt: _Prompt = None,
    prompts: _Prompts = None,
    model: _Model = None,
    n: _Images = None,
    out: _Out = None,
    negative: _Negative = None,
    steps: _Steps = None,
    guidance: _Guidance = None,
    eta: _Eta = None,
    scheduler: _Scheduler = None,
    height: _Side = None,
    width: _Side = None,
    init: _Init = None,
    strength: _Strength = None,
    mask: _Mask = None,
    seed: OptionalSeed = None,
    like: Like = None,
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
    how = {"n": n, "negative": negative, "steps": steps, "guidance": guidance, "eta": eta, "scheduler": scheduler}
    how |= {"height": height, "width": width, "seed": seed, "batch": batch}
    begun = {"init": init, "mask": mask, "strength": strength}
    before = None
    if like:
        if prompt:
            raise KakusanError("--like draws a picture as it says itself: leave out what it is to show")
        stamp.require_alone({"prompts": prompts, **how, **begun})
        before = stamp.read(like, stamp.Generated)
        request = _again(before, like)
        model = model or _named(before, like)
    else:
        request = _request(prompt or [], prompts, how, begun)
    opened = stable_diffusion.opened(model or _MODEL, device)
    if before is not None and opened.weights_hash != before.weights:
        raise KakusanError(
            f"{like} was drawn with other weights than those of {opened.name}: it needs the model {before.model} whose "
            f"weights have the SHA-256 {before.weights[:12]}…, not {opened.weights_hash[:12]}…"
        )
    asked = stable_diffusion.asked(opened, request)
    for remark in asked.remarks():
        say(remark)
    drawn_so = stamp.of_generation(asked)
    say(
        f"{opened.name}: {drawn_so.scheduler}, {counted(asked.steps, 'step')}, guidance {asked.guidance:g}, "
        f"{'' if not asked.eta else f'η {asked.eta:g}, '}seed {request.seed}"
    )
    with Bar("drawing", 1) as bar:
        names = write(((images, [drawn]) for images, drawn in asked.chunks(bar.report)), drawn_so, directory)
    if json:
        show_json({"directory": str(directory), "images": names, **drawn_so.metadata()})
    else:
        typer.echo(f"{counted(len(names), 'image')} in {directory}")


def _request(prompt: list[str], prompts: Path | None, how: dict[str, Any], begun: dict[str, Any]) -> Request:
    """Returns what is asked for, which is refused here, before a model is loaded, where none draws it."""
    from kakusan.stable_diffusion import Request, edit_of

    asked_for = (*prompt, *(_lines(prompts) if prompts else ()))
    if not asked_for:
        raise KakusanError(
            'nothing is asked for: say in words what to draw (kakusan generate "a red circle", or --prompts FILE)'
        )
    given = {name: value for name, value in how.items() if value is not None}
    return Request(asked_for, **{"n": _N, **given}, edit=edit_of(**begun))


def _again(stamp: Generated, like: Path) -> Request:
    """Returns what a picture says was asked for: its whole set, which shares what is rounded."""
    from kakusan.config.names import SCHEDULERS
    from kakusan.stable_diffusion import Request, edit_of

    edit = None
    if stamp.init is not None:
        edit = edit_of(stamp.init.path, None if stamp.mask is None else stamp.mask.path, stamp.strength)
        assert edit is not None
        for now, then in ((edit.init, stamp.init), (edit.mask, stamp.mask)):
            if now is not None and then is not None and now.sha256 != then.sha256:
                raise KakusanError(
                    f"{like} was drawn from {then.path} as it was then, with the SHA-256 {then.sha256[:12]}…, and it "
                    f"has {now.sha256[:12]}… now (put the old one there)"
                )
    return Request(
        stamp.prompts or (),
        n=stamp.n,
        negative=stamp.negative,
        steps=stamp.steps,
        guidance=stamp.guidance,
        eta=stamp.eta,
        scheduler=stamp.scheduler if stamp.scheduler in SCHEDULERS else None,
        height=stamp.height if edit is None else None,
        width=stamp.width if edit is None else None,
        edit=edit,
        seed=stamp.seed,
        batch=stamp.batch,
    )


def _named(stamp: Generated, like: Path) -> str:
    """Returns the model of a picture, where its name alone finds it."""
    if stamp.model not in MODELS:
        raise KakusanError(f"{like} was drawn from {stamp.model}: say where it lies (--model DIR)")
    return stamp.model


def _lines(file: Path) -> list[str]:
    """Returns the prompts of a text, one a line."""
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise KakusanError(
            f"cannot read the prompts of {file}: {reason_alone(error)} (give a text in UTF-8)"
        ) from error
    if "" in lines:
        raise KakusanError(f"{file}: line {lines.index('') + 1} is empty, and each is a prompt (remove it)")
    return lines
