"""The report of one run: the answer first, then how it came about."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from kakusan import build
from kakusan.reporting import thumbnails
from kakusan.reporting.html import Section, fragment, page
from kakusan.reporting.language import Language
from kakusan.reporting.protocol import in_words
from kakusan.reporting.sections import (
    embedding,
    emergence,
    forward,
    guidance,
    loss,
    mixture,
    neighbours,
    network,
    samplers,
    samples,
    schedules,
)
from kakusan.reporting.story import Story

_SHOWN = 3


def render(say: Language, story: Story) -> str:
    """Returns the report as the text of one HTML file; a section without anything to show is left out.

    Raises:
        KakusanError: The page would be larger than 4 MB.
    """
    return page(
        say,
        name=story.name,
        title=_title(say, story),
        answer=_answer(say, story),
        sections=[section for section in _sections(say, story) if section is not None],
    )


def _sections(say: Language, story: Story) -> Iterator[Section | None]:
    yield samples.section(say, story.samples, story.class_names, story.metrics.get("class_accuracy"))
    yield forward.section(say, story.original, build.schedule(story.settings.schedule))
    yield mixture.section(say, story.mixture)
    yield schedules.section(say, story.settings.schedule.kind)
    yield embedding.section(say, story.settings.network, build.schedule(story.settings.schedule))
    yield network.section(say, story.network)
    yield loss.section(say, story.lines)
    yield emergence.section(say, story.walk)
    yield guidance.section(say, story.metrics, story.guided)
    yield samplers.section(say, story.metrics, story.machine)
    yield neighbours.section(say, story.neighbours)


def _title(say: Language, story: Story) -> str:
    if "frechet_distance" in story.metrics:
        ratio = story.metrics["frechet_distance"] / story.metrics["noise_floor"]
        return say("answer.no_farther") if ratio <= 1 else say("answer.farther", ratio=ratio)
    return _progress(say, story)


def _progress(say: Language, story: Story) -> str:
    """Says how far the training has come."""
    if not story.images:
        return say("answer.begun")
    if not story.total_images:
        return say("answer.so_far", images=story.images)
    if story.images < story.total_images:
        return say("answer.under_way", images=story.images, total=story.total_images)
    return say("answer.trained", images=story.images)


def _answer(say: Language, story: Story) -> Markup:
    """Returns the numbers that answer the reader first: how good where it was judged, how far it has come else."""
    metrics = story.metrics
    shown: list[tuple[str, str, str]] = []
    if "frechet_distance" in metrics:
        real = say("answer.real", value=say.number(metrics["noise_floor"]))
        shown.append((say("answer.distance"), say.number(metrics["frechet_distance"]), real))
    if metrics.get("class_accuracy") is not None:
        real = say("answer.real", value=say.percent(metrics["classifier_accuracy"]))
        shown.append((say("answer.accuracy"), say.percent(metrics["class_accuracy"]), real))
    seen, losses = loss.mean_losses(story.lines)
    if not shown and losses:
        shown.append((say("answer.loss"), say.number(losses[-1]), say("answer.of_images", images=seen[-1])))
    if "train_seconds" in metrics:
        of_all = say("answer.of_all", total=metrics["total_seconds"])
        shown.append((say("answer.time"), say.duration(metrics["train_seconds"]), of_all))
    if story.parameters and len(shown) < _SHOWN:
        size = say("answer.parameters", parameters=story.parameters)
        shown.append((say("answer.size"), network.size_of(say, story.parameters), size))
    return fragment(
        "answer.html.jinja",
        say,
        numbers=shown,
        notes=_notes(say, story),
        paragraphs=_paragraphs(say, story),
        protocol=in_words(say, metrics.get("protocol", {})),
    )


def _paragraphs(say: Language, story: Story) -> list[str]:
    """Returns what the numbers mean, and what they were measured on."""
    metrics = story.metrics
    paragraphs = []
    if "frechet_distance" in metrics:
        distance = say.spread(metrics["frechet_distance"], metrics["frechet_distance_spread"])
        floor = say.spread(metrics["noise_floor"], metrics["noise_floor_spread"])
        paragraphs.append(say("answer.about_distance", distance=distance, floor=floor))
    if "classifier_accuracy" in metrics:
        paragraphs.append(say("answer.about_accuracy", accuracy=metrics["classifier_accuracy"]))
    if "seconds" in metrics:
        paragraphs.append(say("answer.about_drawing", n=metrics["protocol"]["n"], seconds=metrics["seconds"]))
    if story.parameters:
        paragraphs.append(say("answer.about_size", parameters=story.parameters))
    if story.machine:
        paragraphs.append(say("answer.about_machine", machine=story.machine))
    return paragraphs


def _notes(say: Language, story: Story) -> list[str]:
    """Returns what a reader must know to read the page rightly, in whole sentences."""
    notes = []
    if "frechet_distance" in story.metrics and story.images < story.total_images:
        notes.append(_progress(say, story) + say("page.stop"))
    if story.undrawn:
        notes.append(say(f"answer.{story.undrawn}"))
    elif story.drawn_after < story.images:
        notes.append(say("answer.drawn_after", images=story.drawn_after))
    picture = story.original if story.samples is None else story.samples
    if picture is not None:
        height, width = picture.shape[-2:]
        shown_height, shown_width = thumbnails.size(height, width)
        if (shown_height, shown_width) != (height, width):
            of, at = f"{width} × {height}", f"{shown_width} × {shown_height}"
            notes.append(say("answer.shrunk", of=of, at=at))
    return notes
