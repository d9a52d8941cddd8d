"""``kakusan report``: one page on a run that a person enjoys."""

from pathlib import Path
from typing import Annotated

import typer

from kakusan.commands.options import Debug, Device, Json, Lang, RunDirectory
from kakusan.commands.output import show_json
from kakusan.files import require_free_file


def report(
    run: RunDirectory,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="where it goes  [default: RUN/report.html]")
    ] = None,
    lang: Lang = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the FILE that is there")] = False,
    device: Device = "auto",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Writes the report of a run, finished or still under way.

    It is one file that loads nothing. RUN/report.html is replaced; its pictures are drawn from the last checkpoint.
    """
    from kakusan.reporting.language import language, usual

    code = language(lang or usual()).code
    if out is not None:
        require_free_file(out, overwrite)

    from kakusan.runs import Run

    opened = Run.open(run)

    from kakusan.studies.telling import write_report

    path = write_report(opened, code, path=out, device=device)
    show_json({"report": str(path), "lang": code}) if json else typer.echo(str(path))
