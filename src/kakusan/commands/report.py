"""``kakusan report``: one page on a run that a person enjoys."""

import typer

from kakusan.commands.options import Debug, Device, Json, Lang, RunDirectory
from kakusan.commands.output import show_json


def report(
    run: RunDirectory,
    lang: Lang = None,
    device: Device = "auto",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Writes the report of a run, finished or still running.

    RUN/report.html is one file that loads nothing. Its pictures are drawn from the last checkpoint.
    """
    from kakusan.reporting.language import language, usual
    from kakusan.runs import Run

    code = language(lang or usual()).code
    opened = Run.open(run)

    from kakusan.studies.telling import write_report

    write_report(opened, code, device=device)
    path = opened.path / "report.html"
    show_json({"report": str(path), "lang": code}) if json else typer.echo(str(path))
