"""The page of a study: what was found in two sentences, then the tables, charts and pictures that it rests on."""

from __future__ import annotations

from markupsafe import Markup

from kakusan.reporting import diagram, sheet
from kakusan.reporting.curves import Curve, chart
from kakusan.reporting.html import Figure, Section, fragment, page
from kakusan.reporting.language import Language
from kakusan.reporting.protocol import in_words as protocol_in_words
from kakusan.reporting.quantities import doubt, in_words, title_of
from kakusan.results import Value, shared
from kakusan.trials import Experiment, Part, Sentence


def render(say: Language, experiment: Experiment) -> str:
    """Returns the page as the text of one HTML file.

    Raises:
        KakusanError: The page would be larger than 4 MB.
    """
    title, then = (spoken(say, sentence) for sentence in experiment.finding)
    answer = fragment(
        "experiment.html.jinja",
        say,
        then=then,
        about=say("study.about", source=experiment.source, budget=say(f"study.{experiment.budget}")),
        took=say("study.took", seconds=experiment.seconds, machine=experiment.machine),
        remarks=[*(spoken(say, note) for note in experiment.notes), *experiment.remarks],
        protocol=protocol_in_words(say, _protocol(say, experiment)),
    )
    name = say(f"study.{experiment.study}.name")
    return page(
        say,
        name=name,
        title=title,
        answer=answer,
        sections=[_section(say, experiment, part) for part in experiment.parts],
    )


def spoken(say: Language, sentence: Sentence) -> str:
    """Returns a sentence, and those inside it, in a language."""
    values = {name: spoken(say, it) if isinstance(it, Sentence) else it for name, it in sentence.values.items()}
    return say(sentence.key, **values)


def _section(say: Language, experiment: Experiment, part: Part) -> Section:
    own, title = f"study.{experiment.study}.{part.name}", spoken(say, part.finding)
    figure = Figure(
        title=title,
        content=_diagram(say, part)
        + sheet.below_each_other(say, part.sheets)
        + table(say, part)
        + _charts(say, part)
        + _pictures(say, part),
        caption=say(f"{own}_caption"),
        alt=say("study.alt", title=title),
    )
    return Section(part.name.replace("_", "-"), say(f"{own}_heading"), figure)


def table(say: Language, part: Part) -> Markup:
    """Returns a row a trial. What real images score is told once below a column, or where it differs beside the value;
    what trials are drawn against stands in their names."""
    if not part.trials:
        return Markup("")
    names = [name for name in part.quantities if name != part.across]
    reals = {name: {it.real for it in part.values(name) if it.real is not None} for name in names}
    below = {name: next(iter(found)) for name, found in reals.items() if len(found) == 1}
    return fragment(
        "trials.html.jinja",
        say,
        titles=[title_of(say, name) for name in names],
        rows=[
            (named(say, trial.name), [_cell(say, name, trial.values.get(name), name not in below) for name in names])
            for trial in part.trials
        ],
        real=[in_words(say, name, below[name]) if name in below else "" for name in names] if below else [],
    )


def _cell(say: Language, name: str, it: Value | None, with_real: bool) -> tuple[str, str]:
    """Returns a value and what stands beside it."""
    if it is None:
        return "", ""
    beside = doubt(say, name, it)
    if with_real and it.real is not None:
        beside = f"{beside} {say('study.real_beside', value=in_words(say, name, it.real))}".strip()
    return in_words(say, name, it.value), beside


def _charts(say: Language, part: Part) -> Markup:
    """Returns a chart a quantity; several are a row of their own, below the table."""
    drawn = []
    for name in part.charts:
        points = [trial for trial in part.trials if name in trial.values and part.across in trial.values]
        if len(points) < 2:
            continue
        x = [trial.values[part.across].value for trial in points]
        y = [trial.values[name] for trial in points]
        reals = {it.real for it in y}
        title = title_of(say, name)
        curves, floor = [Curve(title, x, y)], None
        if reals != {None} and len(reals) > 1:  # what real images score goes with x
            at = [(place, it.real) for place, it in zip(x, y, strict=True) if it.real is not None]
            curves.append(Curve(say("measured.real"), [place for place, _ in at], _plain([real for _, real in at])))
        elif None not in reals:
            floor = say("measured.real"), next(real for real in reals if real is not None)
        drawn.append(
            chart(
                f"{part.name}-{name}",
                curves,
                x=title_of(say, part.across),
                y=title,
                floor=floor,
                growing=part.growing,
            )
        )
    together = Markup("").join(drawn)
    return Markup('<div class="panels">{}</div>').format(together) if len(drawn) > 1 else together


def _diagram(say: Language, part: Part) -> Markup:
    return diagram.row(say, part.name, part.boxes) if part.boxes else Markup("")


def _plain(values: list[float]) -> list[Value]:
    return [Value(value=value) for value in values]


def _pictures(say: Language, part: Part) -> Markup:
    if not part.pictures:
        return Markup("")
    rows = [(named(say, name), images) for name, images in part.pictures.items()]
    return fragment("samples.html.jinja", say, rows=rows, columns=max(len(images) for _, images in rows))


def named(say: Language, name: str) -> str:
    """Returns what a trial is called: a catalogue's word for it where there is one."""
    return say(f"trial.{name}") if say.knows(f"trial.{name}") else name


def _protocol(say: Language, experiment: Experiment) -> dict[str, object]:
    """Returns how everything was measured: what all judged trials share, and by trial what else there is to tell."""
    told = [trial for part in experiment.parts for trial in part.trials if trial.protocol]
    common = shared([trial.protocol for trial in told if "features" in trial.protocol])
    own: dict[str, object] = {}
    for trial in told:
        apart = {name: value for name, value in trial.protocol.items() if common.get(name) != value}
        own |= {named(say, trial.name): apart} if apart else {}
    return {**common, **own}
