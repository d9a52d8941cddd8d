"""What samples are like: judged by a classifier of the data's own, or measured by published metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import Field, ValidationError

from kakusan import proportions
from kakusan.config.models import Sampling
from kakusan.results.value import Record, Value


class OfClass(Record):
    """What the samples of one class are like.

    Attributes:
        name: The class.
        n: Samples of it: as asked for, or taken for it where nobody asked.
        real_n: Real images of it; 0 in books of earlier versions.
        share: Share of all samples that is taken for it.
        real_share: The same of real images.
        accuracy: Share of its samples that is taken for it; None where nobody asked for classes.
        coverage: Share of its real images with a sample in their neighbourhood; None without any.
        real_coverage: The same with other real images in place of the samples.
        frechet_distance: Of its samples from its real images; None of too few.
        noise_floor: Of as many other real images from these.
    """

    name: str
    n: int
    real_n: int = 0
    share: float
    real_share: float
    accuracy: float | None
    coverage: float | None
    real_coverage: float | None
    frechet_distance: float | None
    noise_floor: float | None


class Judgement(Record):
    """What samples are like beside real images, and how that was found.

    Attributes:
        frechet_distance: Mean Fréchet distance of the samples from random parts of the real images.
        frechet_distance_spread: Standard deviation over these parts.
        noise_floor: Mean distance of real images from others, at the same number: about what perfect samples would
            score. The judge has learned from most of these images, so that they look a little better to it.
        noise_floor_spread: Standard deviation over the splits.
        class_accuracy: Share of samples that the judge takes for what they were asked to be; None without classes.
        classifier_accuracy: Share of held-out real images that the judge recognises.
        frechet_distance_interval: Its confidence interval of 95 %, over draws of as many samples; None of too few.
        frechet_distance_infinity: What it would be of infinitely many samples, against as many real images; None of
            too few.
        noise_floor_infinity: That of real images in place of the samples.
        inception_score: Of all samples together, by the network whose features are compared; None in books of earlier
            versions.
        real_inception_score: Of as many real images.
        classes: Class by class.
        copies: Share of samples nearer to a real image than one real image in a hundred is to another.
        real_copies: That share of real images.
        seconds: Time that drawing the samples took.
        protocol: Everything another person needs to repeat the number.
        remarks: What makes the numbers less than they seem, a sentence each.
    """

    frechet_distance: float
    frechet_distance_spread: float
    noise_floor: float
    noise_floor_spread: float
    class_accuracy: float | None
    classifier_accuracy: float
    frechet_distance_interval: tuple[float, float] | None = None
    frechet_distance_infinity: float | None = None
    noise_floor_infinity: float | None = None
    inception_score: float | None = None
    real_inception_score: float | None = None
    classes: tuple[OfClass, ...] = ()
    copies: float | None = None
    real_copies: float | None = None
    seconds: float
    protocol: dict[str, Any] = Field(default={})
    remarks: list[str] = Field(default=[])

    @property
    def values(self) -> dict[str, Value]:
        """The numbers by what they are: ``distance``, ``accuracy``, ``score``."""
        interval = self.frechet_distance_interval
        found = {"distance": Value(value=self.frechet_distance, interval=interval, real=self.noise_floor)}
        if self.inception_score is not None:
            found["score"] = Value(value=self.inception_score, real=self.real_inception_score)
        if self.class_accuracy is not None:
            n = self.protocol.get("n")
            interval = proportions.interval(self.class_accuracy, n) if isinstance(n, int) and n > 0 else None
            found["accuracy"] = Value(value=self.class_accuracy, interval=interval, real=self.classifier_accuracy)
        return found

    def drawn_by(self, settings: Sampling) -> bool:
        """Whether its samples were drawn as the ``settings`` say; what these leave open does not count."""
        asked = settings.model_dump(exclude={"batch"}, exclude_none=True)
        return all(self.protocol.get(name) == value for name, value in asked.items())

    def rank(self, settings: Sampling) -> tuple[int, bool, int, int]:
        """How much it says of a run beside others: of later weights, drawn as the run is configured, more images, a
        longer walk."""
        seen, n, calls = (self.protocol.get(name) or 0 for name in ("images_seen", "n", "nfe"))
        return seen, self.drawn_by(settings), n, calls


class Measurement(Record):
    """A published metric of images, the doubt about it, and how it was found.

    Attributes:
        metric: Its name.
        value: The number.
        interval: Its confidence interval of 95 %, over draws of as many images; None where these are too few.
        infinity: What it would be of infinitely many samples, against the same real images; None where nobody knows.
        noise_floor: What real images score; None where there are none to ask.
        noise_floor_n: Of how many of them.
        noise_floor_against: Against how many others, where the metric compares.
        protocol: Everything another person needs to repeat the number.
        remarks: What makes the number less than it seems, a sentence each.
    """

    metric: str
    value: float
    interval: tuple[float, float] | None = None
    infinity: float | None = None
    noise_floor: float | None = None
    noise_floor_n: int | None = None
    noise_floor_against: int | None = None
    protocol: dict[str, Any] = Field(default={})
    remarks: list[str] = Field(default=[])

    @property
    def as_value(self) -> Value:
        """The number beside what real images score."""
        return Value(value=self.value, interval=self.interval, real=self.noise_floor)


def measurements_in(lines: Iterable[Mapping[str, Any]]) -> dict[str, Measurement]:
    """Returns of every metric what was measured last, among the lines of ``metrics.jsonl``; what is not whole is left
    out."""
    found: dict[str, Measurement] = {}
    for line in lines:
        for values in line.get("measurements", ()):
            with suppress(ValidationError):
                measured = Measurement.model_validate(values)
                found[measured.metric] = measured
    return found


def values_in(line: Mapping[str, Any]) -> dict[str, Value]:
    """Returns what a line of ``metrics.jsonl`` measured of samples, by name; what is not whole is left out."""
    found: dict[str, Value] = {}
    with suppress(ValidationError):
        found |= Judgement.model_validate(line["evaluation"]).values if "evaluation" in line else {}
    for values in line.get("measurements", ()):
        with suppress(ValidationError):
            it = Measurement.model_validate(values)
            found[it.metric] = it.as_value
    return found


def judgements_in(lines: Iterable[Mapping[str, Any]]) -> list[Judgement]:
    """Returns the evaluations among the lines of ``metrics.jsonl``; one that is not whole is left out."""
    found = []
    for line in lines:
        with suppress(ValidationError):
            found += [Judgement.model_validate(line["evaluation"])] if "evaluation" in line else []
    return found


def best_judgement(judgements: Iterable[Judgement], study: Judgement | None, how: Sampling) -> Judgement | None:
    """Returns the one that says most of a run configured to be drawn so, of equals the last: a glance at few images
    stays one.

    Args:
        judgements: Those in its books.
        study: That of a study, which measured other things with it: of the latest weights, it goes before all others.
        how: How the run is configured to be drawn.
    """
    best = max(reversed(list(judgements)), key=lambda judgement: judgement.rank(how), default=None)
    if study is None or (best is not None and best.rank(how)[0] > study.rank(how)[0]):
        return best
    return study
