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
from kakusan.errors import KakusanError
from kakusan.studies.grid import Grid

if TYPE_CHECKING:
    from kakusan.reporting.language import Language
    from kakusan.trials import Experiment


def _known(name: str) -> str:
    lookup("study", name)
    return name


def study(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=either(STUDIES), callback=_known)],
    source: Annotated[
        str | None,
        typer.Argument(metavar="[PRESET|YAML]", help="as --preset; of prompts, the file that says what is tried"),
    ] = None,
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
    """Does an experiment of the chapter: trains or draws what it compares, measures, and writes a page with what was
    found.

    Stopped by Ctrl-C, the same command goes on. Any field of the configuration may be set as well:
    --training.images 40000, --data.source my-images.
    """
    fields = fields_of(context)
    if source is not None and preset is not None:
        raise KakusanError(f"{name} is done on {source} or on {preset}, not on both (leave out --preset)")
    source = source or preset or STUDIES[name].preset
    # Refused before anything heavy is imported.
    if STUDIES[name].preset is not None:
        config.load(source or "", fields)
    elif source is not None:
        Grid.read(source)

    from kakusan.reporting.language import language, usual
    from kakusan.studies.conduct import conduct, place_of

    say = language(lang or usual())
    place = run or place_of(name, source, budget)
    try:
        found, path = conduct(
            name, preset=source, budget=budget, path=place, overrides=fields, lang=say.code, show=True
        )
    except KeyboardInterrupt:
        how = f" --budget {budget}" if budget else ""
        again = f"kakusan study {name} {quote(source or '')}{how} --run {quote(str(place))}"
        same = ", and the same fields" if fields else ""
        raise Interrupted(f"interrupted; what is done stays done (go on: {again}{same})") from None
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
