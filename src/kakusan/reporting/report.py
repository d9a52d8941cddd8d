"""The report of one run: the answer first, then how it came about."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from kakusan import build
from kakusan.config.models import CLIP, Autoencoder, Customised
from kakusan.reporting import thumbnails
from kakusan.reporting.html import Section, fragment, page
from kakusan.reporting.language import Language
from kakusan.reporting.protocol import in_words
from kakusan.reporting.quantities import doubt
from kakusan.reporting.sections import (
    classes,
    embedding,
    emergence,
    forward,
    guidance,
    held_out,
    loss,
    measured,
    mixture,
    neighbours,
    network,
    published,
    reconstruction,
    samplers,
    samples,
    schedules,
)
from kakusan.reporting.story import Story
from kakusan.results import Judgement, measurements_in

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
    if isinstance(story.settings.network, (Autoencoder, CLIP)):
        yield reconstruction.section(say, story.reconstructed)
        yield published.section(say, {} if story.reconstructed is None else story.reconstructed.measured)
        yield loss.section(say, story.lines)
        yield held_out.section(say, story.lines)
        return
    yield samples.section(say, story.samples, story.class_names, story.recognised, story.prompts)
    if isinstance(story.settings.network, Customised):
        yield loss.section(say, story.lines)
        yield held_out.section(say, story.lines)
        return
    schedule = build.schedule(story.settings.schedule)
    yield classes.section(say, () if story.judgement is None else story.judgement.classes)
    yield published.section(say, measurements_in(story.lines))
    yield forward.section(say, story.original, schedule)
    yield mixture.section(say, story.mixture, story.measured.mixture)
    yield schedules.section(say, story.settings.schedule.kind)
    yield embedding.section(say, story.settings.network, schedule)
    yield network.section(say, story.network)
    yield loss.section(say, story.lines)
    yield held_out.section(say, story.lines)
    yield measured.section(say, story.lines)
    yield emergence.section(say, story.walk)
    yield guidance.section(say, story.measured.guidance, story.guided)
    yield samplers.section(say, story.measured)
    yield neighbours.section(say, story.neighbours)


def _title(say: Language, story: Story) -> str:
    if story.judgement is not None:
        ratio = story.judgement.frechet_distance / story.judgement.noise_floor
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
    judged, study = story.judgement, story.measured
    shown: list[tuple[str, str, str]] = []
    if judged is not None:
        real = say("answer.real", value=say.number(judged.noise_floor))
        shown.append((say("answer.distance"), say.number(judged.frechet_distance), real))
    if judged is not None and judged.class_accuracy is not None:
        real = say("answer.real", value=say.percent(judged.classifier_accuracy))
        shown.append((say("answer.accuracy"), say.percent(judged.class_accuracy), real))
    seen, losses = loss.mean_losses(story.lines)
    if not shown and losses:
        shown.append((say("answer.loss"), say.number(losses[-1]), say("answer.of_images", images=seen[-1])))
    if study.train_seconds is not None:
        of_all = "" if study.total_seconds is None else say("answer.of_all", total=study.total_seconds)
        shown.append((say("answer.time"), say.duration(study.train_seconds), of_all))
    if story.parameters and len(shown) < _SHOWN:
        size = say("answer.parameters", parameters=story.parameters)
        shown.append((say("answer.size"), network.size_of(say, story.parameters), size))
    return fragment(
        "answer.html.jinja",
        say,
        numbers=shown,
        notes=_notes(say, story),
        paragraphs=_paragraphs(say, story),
        protocol=in_words(say, {} if judged is None else judged.protocol),
    )


def _paragraphs(say: Language, story: Story) -> list[str]:
    """Returns what the numbers mean, and what they were measured on."""
    judged, paragraphs = story.judgement, []
    if judged is not None:
        value = judged.values["distance"]
        distance = say.spread(judged.frechet_distance, judged.frechet_distance_spread)
        if value.interval is not None:  # books of earlier versions know only how far it moves over parts of the data
            distance = f"{say.number(value.value)} ({doubt(say, 'distance', value)})"
        floor = say.spread(judged.noise_floor, judged.noise_floor_spread)
        paragraphs = [
            say("answer.about_distance", distance=distance, floor=floor),
            *_limits(say, judged),
            say("answer.about_accuracy", accuracy=judged.classifier_accuracy),
            say("answer.about_drawing", n=judged.protocol.get("n", 0), seconds=judged.seconds),
            *judged.remarks,
        ]
    if story.parameters:
        paragraphs.append(say("answer.about_size", parameters=story.parameters))
    if story.measured.machine:
        paragraphs.append(say("answer.about_machine", machine=story.measured.machine))
    return paragraphs


def _limits(say: Language, judged: Judgement) -> list[str]:
    """Returns what distances would be of infinitely many images, where that is known."""
    samples, real = judged.frechet_distance_infinity, judged.noise_floor_infinity
    if samples is None or real is None:
        return []
    return [say("answer.about_infinity", value=say.number(samples), real=say.number(real))]


def _notes(say: Language, story: Story) -> list[str]:
    """Returns what a reader must know to read the page rightly, in whole sentences."""
    notes = []
    if story.judgement is not None and story.images < story.total_images:
        notes.append(_progress(say, story) + say("page.stop"))
    judged_after = 0 if story.judgement is None else story.judgement.protocol.get("images_seen") or 0
    if 0 < judged_after < story.images:
        notes.append(say("answer.judged_after", images=judged_after))
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
