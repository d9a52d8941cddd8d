"""``kakusan demo``: the whole story on embedded data."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from kakusan.commands.options import Debug, Json, Lang, Overwrite
from kakusan.commands.output import Interrupted, show_facts, show_json
from kakusan.errors import KakusanError

_PLACE, _TEXT_PLACE = Path("runs/demo"), Path("runs/demo-text")


def demo(
    text: Annotated[
        bool, typer.Option("--text", help="a small Stable Diffusion of captioned scenes in place of the digits")
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=f"where it goes; an earlier demo in {_PLACE} is replaced, and --text goes on where it was stopped  "
            f"[default: {_PLACE}, or {_TEXT_PLACE}]",
        ),
    ] = None,
    overwrite: Overwrite = False,
    lang: Lang = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """The whole story on handwritten digits, in minutes; with --text, that of prompts.

    Trains, samples, compares samplers, judges, and writes a report.
    """
    from kakusan.reporting.language import language, usual

    code = language(lang or usual()).code  # refused before anything is trained
    if text:
        _of_text(run or _TEXT_PLACE, overwrite, code, json)
    else:
        _of_digits(run or _PLACE, overwrite, code, json)


def _of_digits(run: Path, overwrite: bool, lang: str, json: bool) -> None:
    from kakusan.studies.demo import demo as study

    try:
        metrics = study(run, overwrite, lang=lang)
    except KeyboardInterrupt:
        again = f"kakusan demo --run {quote(str(run))} --overwrite"
        raise Interrupted(f"interrupted; the story is told whole or not at all (begin again: {again})") from None
    if json:
        show_json(metrics)
        return
    show_facts(
        {
            "report": str(run / "report.html"),
            "Fréchet distance": f"{metrics['frechet_distance']:.2f}, real images {metrics['noise_floor']:.2f}",
            "class accuracy": f"{metrics['class_accuracy']:.1%}, real images {metrics['classifier_accuracy']:.1%}",
            "training": f"{metrics['train_seconds']:.0f} s of {metrics['total_seconds']:.0f} s in all",
        }
    )


def _of_text(run: Path, overwrite: bool, lang: str, json: bool) -> None:
    from kakusan.commands.study import told
    from kakusan.reporting.language import language
    from kakusan.studies.conduct import conduct
    from kakusan.studies.experiments.mini import PIPELINE

    if overwrite:
        raise KakusanError(
            f"demo --text goes on where it was stopped, and replaces nothing: remove {run} to begin anew"
        )
    try:
        found, path = conduct("mini", preset="demo-text", path=run, lang=lang)
    except KeyboardInterrupt:
        again = f"kakusan demo --text --run {quote(str(run))}"
        raise Interrupted(f"interrupted; what is done stays done (go on: {again})") from None
    told(language(lang), found, path, json)
    if not json:
        typer.echo(f'draw from it: kakusan generate "a red circle" --model {quote(str(path / PIPELINE))}')
