"""``kakusan study``: an experiment that ends in a finding."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kakusan import config
from kakusan.commands.fields import fields_of
from kakusan.commands.options import Debug, Json, Lang
from kakusan.commands.output import Interrupted, show_json
from kakusan.config.names import STUDIES, lookup
from kakusan.config.wording import either

if TYPE_CHECKING:
    from kakusan.reporting.language import Language
    from kakusan.trials import Experiment


def _known(name: str) -> str:
    lookup("study", name)
    return name


def study(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=either(STUDIES), callback=_known)],
    preset: Annotated[
        str | None,
        typer.Option(metavar="PRESET|YAML", help="what it is done on  [default: digits; shapes-text for mini]"),
    ] = None,
    budget: Annotated[
        Literal["quick", "full"] | None,
        typer.Option(
            metavar="quick|full",
            help="quick: short trainings, one of each; full: the preset's length, three of each where they are "
            "compared  [default: quick; full for mini]",
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="where it goes, or goes on  [default: runs/study-NAME-PRESET]")
    ] = None,
    lang: Lang = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Does an experiment of the chapter: trains what it compares, measures, and writes a page with what was found.

    Stopped by Ctrl-C, the same command goes on. Any field of the configuration may be set as well:
    --training.images 40000, --data.source my-images.
    """
    fields = fields_of(context)
    preset, length = preset or STUDIES[name].preset, budget or STUDIES[name].budget
    config.load(preset, fields)  # refused before anything heavy is imported

    from kakusan.reporting.language import language, usual
    from kakusan.studies.conduct import conduct, place_of

    say = language(lang or usual())
    place = run or place_of(name, preset, length)
    try:
        found, path = conduct(
            name, preset=preset, budget=length, path=place, overrides=fields, lang=say.code, show=True
        )
    except KeyboardInterrupt:
        again = f"kakusan study {name} --preset {quote(preset)} --budget {length} --run {quote(str(place))}"
        raise Interrupted(f"interrupted; what is done stays done (go on: {again}, and the same fields)") from None
    told(say, found, path, json)


def told(say: Language, found: Experiment, path: Path, json: bool) -> None:
    """Says what was found, and where the page lies."""
    from kakusan.reporting.experiment import spoken

    if json:
        show_json({**found.as_dict(), "finding": [spoken(say, it) for it in found.finding], "report": str(path)})
        return
    for sentence in found.finding:
        typer.echo(spoken(say, sentence) + say("page.stop"))
    typer.echo(str(path / "report.html"))
