"""``kakusan demo``: the whole story on embedded data."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from kakusan.commands.options import Debug, Json, Lang, Overwrite
from kakusan.commands.output import Interrupted, show_facts, show_json


def demo(
    run: Annotated[
        Path, typer.Option(metavar="DIR", help="where it goes; an earlier demo in runs/demo is replaced")
    ] = Path("runs/demo"),
    overwrite: Overwrite = False,
    lang: Lang = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """The whole story on handwritten digits, in minutes.

    Trains, samples, compares samplers, judges, and writes a report.
    """
    from kakusan.reporting.language import language, usual

    code = language(lang or usual()).code  # refused before anything is trained

    from kakusan.studies.demo import demo as study

    try:
        metrics = study(run, overwrite, lang=code)
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
