"""``kakusan generate``: numbered pictures of what a pipeline is told, each of which says how it was drawn."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kakusan.commands.options import Batch, Debug, Device, Json, Like, Offline, OptionalSeed, Overwrite
from kakusan.commands.output import show_facts, show_json
from kakusan.config.names import HUB, MODELS, SCHEDULERS
from kakusan.config.wording import either
from kakusan.errors import KakusanError, counted, reason_alone, some

if TYPE_CHECKING:
    from kakusan.stable_diffusion import Extras, Request

_MODEL, _N = "mini", 8

_Prompt = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PROMPT",
        help="what to draw, in words; (word:1.3) counts more and [word] less; several take turns, image by image",
    ),
]
_Prompts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="a text file with a prompt on every line; they come after PROMPT"),
]
_Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR|FILE",
        help=f"what draws: {either(MODELS)}; Stable Diffusion 1 or 2 or SDXL, as a pipeline's directory, as one "
        f".safetensors file, or as {HUB}OWNER/NAME, which is fetched; or a run that taught a whole one (finetune "
        f"dreambooth)  [default: {_MODEL}]",
    ),
]
_Images = Annotated[
    int | None, typer.Option("-n", "--n", metavar="N", help=f"how many images  [default: {_N}, or one a prompt]")
]
_Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="DIR", help="where they go, new or empty  [default: generated/DATE-TIME]"),
]
_Negative = Annotated[str | None, typer.Option(metavar="TEXT", help="what the images are led away from, in words")]
_Steps = Annotated[
    int | None, typer.Option(metavar="K", help="steps from noise to images  [default: the model's own, or 50]")
]
_Guidance = Annotated[
    float | None,
    typer.Option(
        metavar="W",
        help="how much the prompt counts: 1 plainly, more exaggerates  [default: the model's own, or 7.5]",
    ),
]
_Eta = Annotated[
    float | None,
    typer.Option(
        metavar="E", help="noise that ddim adds on the way: 0 none, 1 as ddpm does  [default: the model's own, or 0]"
    ),
]
_Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help=f"what leads from noise to images: {either(SCHEDULERS)}  [default: the model's own]"
    ),
]
_Side = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="of the images, a multiple of 8  [default: as --control-image is, or as the model was trained]",
    ),
]
_EDIT, _WEAR, _SPARE = "Begin from a picture", "Give the model something beside its weights", "Memory and speed"
_Init = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="a picture to begin from, in place of noise; its size is that of the images",
        rich_help_panel=_EDIT,
    ),
]
_Strength = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        help="how much --init is changed: from above 0, hardly, to 1, beyond recognition  [default: 0.8]",
        rich_help_panel=_EDIT,
    ),
]
_Mask = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="a picture as large as --init, white where that is to be redrawn", rich_help_panel=_EDIT
    ),
]
_Lora = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE|RUN[:WEIGHT]",
        help="a LoRA, by its .safetensors file or the run that trained it, and how much it counts: 1 as it was "
        "trained, 0.5 half as much; may be given several times",
        rich_help_panel=_WEAR,
    ),
]
_Embedding = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE|RUN",
        help="a learned word, to be used in PROMPT, by its .safetensors file or the run that learned it; may be given "
        "several times",
        rich_help_panel=_WEAR,
    ),
]
_ControlNet = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DIR|NAME[:WEIGHT]",
        help=f"a ControlNet, which leads by --control-image, by its directory or {HUB}OWNER/NAME, and how much it "
        "counts: 1 as it was trained; may be given several times",
        rich_help_panel=_WEAR,
    ),
]
_ControlImage = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[canny:]FILE",
        help="the picture by which --control leads: edges, a map of depth, a pose, as it was trained on them; of "
        "canny:FILE the edges are found first; one for each --control, in the same order",
        rich_help_panel=_WEAR,
    ),
]
_Refiner = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR",
        help=f"beside SDXL: its refiner, a directory or {HUB}OWNER/NAME, which draws the last fifth of the steps",
        rich_help_panel=_WEAR,
    ),
]
_Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(
        metavar="NAME",
        help="of the weights: float32, or half as large bfloat16 or float16; auto is float16 on cuda, else float32",
        rich_help_panel=_SPARE,
    ),
]
_Offload = Annotated[
    Literal["none", "model", "sequential"],
    typer.Option(
        metavar="none|model|sequential",
        help="what waits in main memory until a GPU needs it: model, its parts, nearly as fast; "
        "sequential, its layers, slow",
        rich_help_panel=_SPARE,
    ),
]
_Slicing = Annotated[
    bool,
    typer.Option(
        "--slicing",
        help="spare memory: the decoder takes an image at a time, attention a few heads",
        rich_help_panel=_SPARE,
    ),
]
_Tiling = Annotated[
    bool, typer.Option("--tiling", help="spare memory: the decoder takes large images in tiles", rich_help_panel=_SPARE)
]
_Compile = Annotated[
    bool,
    typer.Option("--compile", help="compile the U-Net, for which the first step takes minutes", rich_help_panel=_SPARE),
]
_Plan = Annotated[
    bool,
    typer.Option(
        "--plan", help="say what it would take of memory and to fetch, and draw nothing", rich_help_panel=_SPARE
    ),
]
_Config = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="where --model is one file: a pipeline's directory, built as that is  [default: the hub says]",
    ),
]
_NoChecker = Annotated[
    bool,
    typer.Option(
        "--no-safety-checker", help="keep the model's safety checker, if it brings one, from making images black"
    ),
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
    lora: _Lora = None,
    embedding: _Embedding = None,
    control: _ControlNet = None,
    control_image: _ControlImage = None,
    refiner: _Refiner = None,
    dtype: _Dtype = "auto",
    offload: _Offload = "none",
    slicing: _Slicing = False,
    tiling: _Tiling = False,
    compile: _Compile = False,  # noqa: A002 (the option's name)
    plan: _Plan = False,
    seed: OptionalSeed = None,
    like: Like = None,
    batch: Batch = None,
    device: Device = "auto",
    model_config: _Config = None,
    offline: Offline = False,
    no_safety_checker: _NoChecker = False,
    overwrite: Overwrite = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Draws images of what you say in words, with a model that is trained already.

    They are written as numbered PNGs, with a grid of them. The settings ride inside every picture, and --like draws it
    again.
    """
    from kakusan import stable_diffusion
    from kakusan.adapters import weighted
    from kakusan.commands import again, stamp
    from kakusan.commands.drawing import write
    from kakusan.files import require_free
    from kakusan.progress import Bar, say
    from kakusan.stable_diffusion import Extras, Memory

    directory = out or Path("generated") / f"{datetime.now():%Y-%m-%d-%H%M%S}"
    if not plan:
        require_free(directory, overwrite)
    how = {"n": n, "negative": negative, "steps": steps, "guidance": guidance, "eta": eta, "scheduler": scheduler}
    how |= {"height": height, "width": width, "seed": seed, "batch": batch}
    begun = {"init": init, "mask": mask, "strength": strength}
    worn: dict[str, Any] = {"lora": lora, "embedding": embedding, "control": control, "control_image": control_image}
    worn |= {"refiner": refiner}
    memory, checked = Memory(dtype, offload, slicing, tiling, compile), not no_safety_checker
    before = None
    if like:
        if prompt:
            raise KakusanError("--like draws a picture as it says itself: leave out what it is to show")
        stamp.require_alone({"prompts": prompts, **how, **begun, **worn})
        before = stamp.read(like, stamp.Generated)
        again.require_same_pictures(before, like)
        request, extras = again.request(before), again.extras(before)
        model = model or again.model(before, like)
        checked, memory = checked and before.safety_checker, again.memory(memory, before)
    else:
        request = _request(prompt or [], prompts, how, begun, control_image or [])
        loras, controls = ([weighted(it) for it in given or ()] for given in (lora, control))
        extras = Extras(loras, controls, embedding or (), refiner)
    _require_pairs(request, extras)
    name = model or _MODEL
    if plan:
        found = stable_diffusion.planned(name, request, extras, memory, device, config=model_config, offline=offline)
        show_json(found.as_dict()) if json else show_facts(found.in_words())
        return
    opened = stable_diffusion.opened(name, device, memory, config=model_config, offline=offline, safety_checker=checked)
    if before is not None and like is not None:
        again.require_same_model(before, like, opened)
    opened = stable_diffusion.fitted(opened, extras, offline=offline)
    if before is not None and like is not None:
        again.require_same_extras(before, like, opened)
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
    if asked.blackened:
        say(
            f"the safety checker of {opened.name} has made {some([names[it] for it in asked.blackened], 4)} black "
            "(another --seed may do, or --no-safety-checker, if you answer for what is seen)"
        )
    if json:
        show_json({"directory": str(directory), "images": names, **drawn_so.metadata()})
    else:
        typer.echo(f"{counted(len(names), 'image')} in {directory}")


def _request(
    prompt: list[str], prompts: Path | None, how: dict[str, Any], begun: dict[str, Any], control_images: list[str]
) -> Request:
    """Returns what is asked for, which is refused here, before a model is loaded, where none draws it."""
    from kakusan.stable_diffusion import Request, control_of, edit_of

    asked_for = (*prompt, *(_lines(prompts) if prompts else ()))
    if not asked_for:
        raise KakusanError(
            'nothing is asked for: say in words what to draw (kakusan generate "a red circle", or --prompts FILE)'
        )
    given = {name: value for name, value in how.items() if value is not None}
    controls = tuple(map(control_of, control_images))
    return Request(asked_for, **{"n": max(_N, len(asked_for)), **given}, edit=edit_of(**begun), controls=controls)


def _require_pairs(request: Request, extras: Extras) -> None:
    """Refuses ControlNets without pictures, and pictures without ControlNets, before anything is loaded."""
    if len(request.controls) != len(extras.controls):
        raise KakusanError(
            f"{counted(len(extras.controls), 'ControlNet')} and {counted(len(request.controls), 'picture')} to lead by "
            "are given (give a --control-image for each --control, in the same order)"
        )


def _lines(file: Path) -> list[str]:
    """Returns the prompts of a text, one a line."""
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise KakusanError(
            f"cannot read the prompts of {file}: {reason_alone(error)} (give a text in UTF-8)"
        ) from error
    if "" in lines:
        raise KakusanError(f"{file}: line {lines.index('') + 1} is empty, and each is a prompt (remove it)")
    return lines
