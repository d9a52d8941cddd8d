"""The report of one trained model: the answer first, then how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from kakusan.errors import KakusanError
from kakusan.reporting import comparison, figures, findings, words
from kakusan.reporting.comparison import Row
from kakusan.reporting.html import Figure, Section, fragment, page

_Item = TypeVar("_Item")
_FRAMES, _STRIP = 60, 12
_PROTOCOL = {
    "n": "images on each side",
    "reference": "compared with",
    "splits": "random splits of the real images",
    "nfe": "network calls an image",
    "eta": "η",
    "weights_hash": "SHA-256 of the weights",
}


@dataclass(frozen=True)
class Story:
    """What a report tells.

    Attributes:
        name: The run.
        metrics: The demo's ``metrics.json``.
        lines: The lines of ``metrics.jsonl``.
        samples: Values in [-1, 1], shape (K·columns, C, H, W), one row a class.
        columns: Samples in a row.
        class_names: The K classes.
        frames: How one sample emerges, from noise to data: time, x and the x_0 predicted there, each (C, H, W).
        machine: What it ran on, in a line.
        schedule: Name of the schedule that the run trained with, which then stands out among the three.
    """

    name: str
    metrics: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    samples: Tensor
    columns: int
    class_names: tuple[str, ...]
    frames: Sequence[tuple[float, Tensor, Tensor]]
    machine: str
    schedule: str = ""


def render(story: Story) -> str:
    """Returns the report as the text of one HTML file; a section without anything to show is left out.

    Raises:
        KakusanError: The samples do not fill a row a class, or the page would be larger than 4 MB.
    """
    rows = len(story.class_names)
    if len(story.samples) != rows * story.columns:
        raise KakusanError(
            f"{rows} classes by {story.columns} columns take {rows * story.columns} samples, not {len(story.samples)} "
            "(give as many of every class)"
        )
    sections = (_samples(story), _emergence(story), _loss(story), _samplers(story), _schedules(story))
    return page(
        name=story.name,
        title=findings.distance(story.metrics["frechet_distance"], story.metrics["noise_floor"]),
        answer=fragment(
            "answer.html.jinja", metrics=story.metrics, protocol=_protocol(story.metrics), machine=story.machine
        ),
        sections=[section for section in sections if section],
    )


def _protocol(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Returns the protocol in words, every entry of it."""
    return {_PROTOCOL.get(key, key.replace("_", " ")): _value(value) for key, value in metrics["protocol"].items()}


def _value(value: object) -> str:
    if value is None or value == "":
        return "none"
    return words.count(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _samples(story: Story) -> Section:
    each = words.several(story.columns, "sample")
    rows = story.samples.reshape(len(story.class_names), story.columns, *story.samples.shape[1:])
    figure = Figure(
        title=findings.recognition(story.metrics["class_accuracy"], each),
        content=fragment(
            "samples.html.jinja",
            rows=zip(story.class_names, rows, strict=True),
            each=each,
            columns=story.columns,
        ),
        caption=f"A row is a class, with {each} of it.",
        alt=f"{each} of each of {words.several(len(story.class_names), 'class', 'classes')}, a row a class.",
    )
    return Section("samples", "Samples by class", figure)


def _emergence(story: Story) -> Section | None:
    if not story.frames:
        return None
    frames = _evenly(story.frames, _FRAMES)
    figure = Figure(
        title=findings.emergence(story.frames),
        content=fragment("film.html.jinja", frames=frames, strip=_evenly(range(len(frames)), _STRIP)),
        caption=(
            "Above, the picture x on its way from noise, t\u00a0=\u00a01, to data, t\u00a0=\u00a00; below, the clean "
            "picture x̂₀ that the network takes it for."
        ),
        alt="One picture at falling times: noise clears up into a picture, and the network's guess before it.",
    )
    return Section("emergence", "A picture emerges", figure)


def _loss(story: Story) -> Section | None:
    images, losses = figures.mean_losses(story.lines)
    if not losses:
        return None
    title = findings.loss(images, losses)
    figure = Figure(
        title=title,
        content=figures.loss_curve(story.lines),
        caption=findings.half_of_the_fall(images, losses),
        alt=f"A curve of the training loss against images seen. {title}.",
    )
    return Section("loss", "Training", figure)


def _samplers(story: Story) -> Section | None:
    rows = [Row.read(row) for row in story.metrics["samplers"]]
    if not rows:
        return None
    floor, n = story.metrics["noise_floor"], story.metrics["protocol"]["n"]
    title = comparison.finding(rows)
    figure = Figure(
        title=title,
        content=figures.sampler_comparison(rows, floor),
        caption=(
            "Bars span where the true share lies with a confidence of 95 %; samplers whose difference chance explains "
            "count as equally accurate."
        ),
        alt=f"Class accuracy and Fréchet distance of each sampler against its network calls. {title}.",
    )
    table = fragment(
        "samplers.html.jinja",
        rows=rows,
        reasons=[comparison.why_no_distance(row, n) for row in rows if row.frechet_distance is None],
        metrics=story.metrics,
        machine=story.machine,
        protocol=_protocol(story.metrics),
    )
    return Section("samplers", "Samplers compared", figure, table)


def _schedules(story: Story) -> Section:
    title = findings.schedules({name: figures.half_signal(name) for name in figures.SCHEDULES})
    own = f"; this model was trained with the {story.schedule} one" if story.schedule else ""
    figure = Figure(
        title=title,
        content=figures.schedule_curves(story.schedule),
        caption=f"β is the noise that a step adds, ᾱ the share of the signal's power that is left after it{own}.",
        alt=f"Curves of β and of ᾱ over 1,000 steps for three schedules. {title}.",
    )
    return Section("schedules", "Three schedules", figure)


def _evenly(items: Sequence[_Item], most: int) -> list[_Item]:
    """Returns at most so many items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
