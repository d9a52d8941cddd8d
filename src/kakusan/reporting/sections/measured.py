"""What was measured of samples while the run trained: whether they still get better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from kakusan.reporting.curves import Curve, chart
from kakusan.reporting.html import Figure, Section
from kakusan.reporting.language import Language
from kakusan.reporting.quantities import better, title_of
from kakusan.results import Value, values_in

_DECIDING = ("n", "features", "sampler", "steps", "guidance", "reference_hash", "held_out")


def section(say: Language, lines: Sequence[Mapping[str, Any]]) -> Section | None:
    """Shows what the ``lines`` of ``metrics.jsonl`` measured of samples, a panel each; nothing of fewer than two."""
    found = {name: points for name, points in along(lines).items() if len(points) > 1}
    if not found:
        return None
    title = finding(say, found)
    content = Markup("").join(curve(say, name, points) for name, points in found.items())
    figure = Figure(title=title, content=content, caption=say("measured.caption"), alt=say("measured.alt", title=title))
    return Section("measured", say("measured.heading"), figure)


def along(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, Value]]]:
    """Returns by quantity what was measured after how many images, of the lines that training wrote.

    Where they were measured in several ways, by fewer samples at first, the last way counts.
    """
    found: dict[str, list[tuple[int, Value]]] = {}
    ways: dict[str, object] = {}
    for line in lines:
        if isinstance(images := line.get("images"), int):
            for name, value in values_in(line).items():
                if ways.setdefault(name, way := _way(line, name)) != way:
                    ways[name], found[name] = way, []
                found.setdefault(name, []).append((images, value))
    return found


def _way(line: Mapping[str, Any], name: str) -> tuple[object, ...]:
    """Returns what of a protocol decides whether two moments compare."""
    protocols = [it.get("protocol", {}) for it in line.get("measurements", ()) if it.get("metric") == name]
    protocol = protocols[0] if protocols else line.get("evaluation", {}).get("protocol", {})
    return tuple(protocol.get(key) for key in _DECIDING)


def finding(say: Language, found: Mapping[str, Sequence[tuple[int, Value]]]) -> str:
    """Says of the first quantity when it was best, and whether it is that now."""
    name, points = next(iter(found.items()))
    (_, first), (_, last) = points[0], points[-1]
    images, best = better(name)(points, key=lambda point: point[1].value)
    told = {"quantity": title_of(say, name), "first": first.value, "last": last.value, "best": best.value}
    return say("measured.went" if best is last else "measured.was_best", images=images, **told)


def curve(say: Language, name: str, points: Sequence[tuple[int, Value]]) -> Markup:
    """Draws one quantity against images seen, beside what real images score."""
    title, real = title_of(say, name), points[-1][1].real
    line = Curve(title, [images for images, _ in points], [value for _, value in points])
    floor = None if real is None else (say("measured.real"), real)
    return chart(f"measured-{name}", [line], x=say("loss.images"), y=title, floor=floor)
