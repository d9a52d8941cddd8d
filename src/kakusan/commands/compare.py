"""``kakusan compare``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kakusan.commands.options import Debug, Json, Lang
from kakusan.commands.output import show_json, show_table
from kakusan.config import as_yaml
from kakusan.errors import KakusanError
from kakusan.files import require_free_file, require_suffix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kakusan.results import Comparison, Measurement, Side, Value

_NUMBER, _SHARE = ".4g", ".1%"
_JUDGED = {"accuracy": "class accuracy", "score": "Inception score"}


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN …", help="run directories, two or more")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE.html", help="a page with their curves in one chart each")
    ] = None,
    lang: Lang = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the FILE that is there")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Puts runs side by side: in what they differ, how far they came, what was measured of them.

    With -o a page shows their losses, and what was measured while they trained, in one chart each.
    Numbers that were not measured alike are named, with what differs.
    """
    if out is None and (lang is not None or overwrite):
        raise KakusanError("--lang and --overwrite are about a page: say where it goes (-o FILE.html)")
    if out is not None:
        require_suffix(out, ".html")
        require_free_file(out, overwrite)

    from kakusan.progress import say
    from kakusan.runs import Run
    from kakusan.studies.comparing import compare as comparison
    from kakusan.studies.comparing import write_page

    opened = [Run.open(run) for run in runs]
    found = comparison(opened)
    if out is not None:
        write_page(out, opened, found, lang)
    show_json(found.as_dict()) if json else show_table(_rows(found))
    for note in found.notes:
        say(note)


def _rows(found: Comparison) -> list[list[str]]:
    """Returns a column a run; what no run has is left out."""
    from kakusan.results.quantities import SHARES

    rows = [["", *(side.run for side in found.sides)]]
    for name in found.sides[0].differs:
        rows.append([name, *(as_yaml(side.differs[name]) for side in found.sides)])
    rows.append(["images seen", *(f"{side.images:,}" for side in found.sides)])
    rows.append(["loss", *(_number(side.loss) for side in found.sides)])
    rows.append(["held-out loss", *(_number(side.held_out_loss) for side in found.sides)])
    for name in dict.fromkeys(name for side in found.sides for name in _judged(side)):
        rows.append(
            [
                _JUDGED.get(name, name),
                *(_told(_judged(side).get(name), _SHARE if name in SHARES else _NUMBER) for side in found.sides),
            ]
        )
    for metric in dict.fromkeys(metric for side in found.sides for metric in side.measurements):
        rows.append([metric, *(_told(side.measurements.get(metric)) for side in found.sides)])
    return [row for row in rows if any(row[1:])]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _judged(side: Side) -> Mapping[str, Value]:
    return {} if side.judgement is None else side.judgement.values


def _told(found: Value | Measurement | None, way: str = _NUMBER) -> str:
    if found is None:
        return ""
    interval = "" if found.interval is None else f" ({' to '.join(format(end, way) for end in found.interval)})"
    return f"{found.value:{way}}{interval}"
