"""Published metrics of the samples, as they were measured last."""

from __future__ import annotations

from collections.abc import Mapping

from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language
from kakusan.reporting.protocol import in_words as protocol_in_words
from kakusan.reporting.quantities import in_words, title_of
from kakusan.results import Measurement


def section(say: Language, measured: Mapping[str, Measurement]) -> Section | None:
    """Shows a row a metric: the number, its doubt, and what real images score."""
    if not measured:
        return None
    first = next(iter(measured.values()))
    title = say("published.title", quantity=title_of(say, first.metric), value=in_words(say, first.metric, first.value))
    table = fragment(
        "trials.html.jinja",
        say,
        titles=[say(f"published.{name}") for name in ("n", "value", "interval", "infinity", "real")],
        rows=[(title_of(say, name), [_n(say, it), *_cells(say, it)]) for name, it in measured.items()],
        real=[],
    )
    protocol = fragment(
        "published.html.jinja",
        say,
        remarks=list(dict.fromkeys(remark for it in measured.values() for remark in it.remarks)),
        protocols={title_of(say, name): protocol_in_words(say, it.protocol) for name, it in measured.items()},
    )
    figure = Figure(title=title, content=table, caption=say("published.caption"), alt=say("study.alt", title=title))
    return Section("published", say("published.heading"), figure, protocol)


def _n(say: Language, it: Measurement) -> tuple[str, str]:
    n = it.protocol.get("n")
    return (say.count(n) if isinstance(n, int) else "", "")


def _cells(say: Language, it: Measurement) -> list[tuple[str, str]]:
    def words(value: float | None) -> str:
        return "" if value is None else in_words(say, it.metric, value)

    interval = (
        "" if it.interval is None else say("quantity.interval", low=words(it.interval[0]), high=words(it.interval[1]))
    )
    return [(words(it.value), ""), (interval, ""), (words(it.infinity), ""), (words(it.noise_floor), "")]
