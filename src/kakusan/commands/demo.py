"""``kakusan demo``: the whole story on embedded data."""

from pathlib import Path
from typing import Annotated

import typer

from kakusan.commands.options import Debug, Json
from kakusan.commands.output import show_facts, show_json


def demo(
    run: Annotated[Path, typer.Option(metavar="DIR", help="where it goes; an earlier run there is replaced")] = Path(
        "runs/demo"
    ),
    json: Json = False,
    debug: Debug = False,
) -> None:
    """The whole story on handwritten digits, in minutes.

    Trains, samples, compares samplers, judges, and writes a report.
    """
    from kakusan.studies.demo import demo as study

    metrics = study(run)
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
