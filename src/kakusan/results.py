"""What was found: records that experiments write and reports tell, without how either is done.

Those of plain numbers are read back from JSON, where what is unknown is passed over and what is wrong is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from kakusan import proportions
from kakusan.closed_form import GaussianMixture
from kakusan.config.models import Sampling
from kakusan.errors import KakusanError


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, for JSON."""
        return self.model_dump()


class Value(_Record):
    """A number, and what there is to say about it.

    Attributes:
        value: It.
        interval: Where it may as well lie; None where nobody knows.
        real: What real images score; None where that says nothing.
    """

    value: float
    interval: tuple[float, float] | None = None
    real: float | None = None

    def beyond(self, other: Value) -> bool:
        """Whether the two differ by more than the doubt about them: their intervals have nothing in common.

        Where no doubt is known, no difference is beyond it.
        """
        if self.interval is None or other.interval is None:
            return False
        return self.interval[0] > other.interval[1] or other.interval[0] > self.interval[1]


class OfClass(_Record):
    """What the samples of one class are like.

    Attributes:
        name: The class.
        n: Samples of it: as asked for, or taken for it where nobody asked.
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
    share: float
    real_share: float
    accuracy: float | None
    coverage: float | None
    real_coverage: float | None
    frechet_distance: float | None
    noise_floor: float | None


class Judgement(_Record):
    """What samples are like beside real images, and how that was found.

    Attributes:
        frechet_distance: Mean Fréchet distance of the samples from random parts of the real images.
        frechet_distance_spread: Standard deviation over these parts.
        noise_floor: Mean distance of real images from others, at the same number: about what perfect samples would
            score. The judge has learned from most of these images, so that they look a little better to it.
        noise_floor_spread: Standard deviation over the splits.
        class_accuracy: Share of samples that the judge takes for what they were asked to be; None without classes.
        classifier_accuracy: Share of held-out real images that the judge recognises.
        frechet_distance_interval: Where it would lie for 95 of 100 other draws of as many samples; None of too few.
        inception_score: Of the samples, with the judge in Inception's place; None in books of earlier versions.
        real_inception_score: Of as many real images.
        classes: Class by class.
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
    inception_score: float | None = None
    real_inception_score: float | None = None
    classes: tuple[OfClass, ...] = ()
    seconds: float
    protocol: dict[str, Any] = {}
    remarks: list[str] = []

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


class Measurement(_Record):
    """A published metric of images, the doubt about it, and how it was found.

    Attributes:
        metric: Its name.
        value: The number.
        interval: Where it would lie for 95 of 100 other draws of as many images; None where these are too few.
        infinity: What it would be of infinitely many; None where that is not known.
        noise_floor: What real images score; None where there are none to ask.
        noise_floor_n: Of how many of them, against all the others where the metric compares.
        protocol: Everything another person needs to repeat the number.
        remarks: What makes the number less than it seems, a sentence each.
    """

    metric: str
    value: float
    interval: tuple[float, float] | None = None
    infinity: float | None = None
    noise_floor: float | None = None
    noise_floor_n: int | None = None
    protocol: dict[str, Any] = {}
    remarks: list[str] = []

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


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns what differs between two protocols, so that numbers under them cannot be compared without a word."""
    return {name: (a.get(name), b.get(name)) for name in {**a, **b} if a.get(name) != b.get(name)}


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


class Side(_Record):
    """One of several runs side by side.

    Attributes:
        run: Its directory.
        differs: Fields of its configuration in which the runs differ.
        images: Images seen.
        loss: That of its last line.
        held_out_loss: The last one; None without images held out.
        judgement: The evaluation that says most of it.
        measurements: By metric, what was measured last.
    """

    run: str
    differs: dict[str, Any]
    images: int
    loss: float | None
    held_out_loss: float | None
    judgement: Judgement | None
    measurements: dict[str, Measurement]


class Comparison(_Record):
    """Runs side by side.

    Attributes:
        sides: A run each.
        notes: Where numbers of one name were not measured alike, a sentence each.
    """

    sides: tuple[Side, ...]
    notes: tuple[str, ...]


class SamplerResult(_Record):
    """What one sampler costs, and how well it does.

    Attributes:
        name: The sampler.
        steps: Its steps.
        nfe: Network calls an image.
        seconds: For all images together.
        images: How many were drawn.
        class_accuracy: Share recognised as the class that was asked for; None where not measured.
        frechet_distance: Distance from real images; None where not measured.
        frechet_distance_spread: Its standard deviation over parts of the real images; None where not measured.
    """

    name: str
    steps: int
    nfe: int
    seconds: float
    images: int
    class_accuracy: float | None = None
    frechet_distance: float | None = None
    frechet_distance_spread: float | None = None

    @property
    def seconds_per_image(self) -> float:
        """Time for one image."""
        return self.seconds / self.images


class GuidanceResult(_Record):
    """What one scale of guidance does.

    Attributes:
        guidance: The scale w.
        class_accuracy: Share recognised as the class that was asked for.
        saturated: Share of values that are the darkest or the brightest a picture can hold.
    """

    guidance: float
    class_accuracy: float
    saturated: float


class GuidanceSweep(_Record):
    """One scale of guidance after another, on samples of the same seeds.

    Attributes:
        sampler: How they were drawn.
        steps: In how many steps.
        threshold: How predicted pixels were kept in range.
        seed: Of the samples.
        images: How many were drawn at each scale, each class in turn.
        real_accuracy: Share of held-out real images that the judge recognises.
        real_saturated: Share of saturated values in real images.
        scales: The smallest first.
    """

    sampler: str
    steps: int
    threshold: str
    seed: int
    images: int
    real_accuracy: float
    real_saturated: float
    scales: tuple[GuidanceResult, ...]


class Mode(_Record):
    """The points on one side of 0.

    Attributes:
        share: Of all points.
        mean: Where they are; NaN without any.
        deviation: How wide they lie; NaN without any.
    """

    share: float
    mean: float
    deviation: float


class MixtureEnds(_Record):
    """Where the points of a :class:`Mixture` end: for each process those left of 0 and those right of it.

    Attributes:
        forward: Points drawn from the mixture, before any noise.
        exact: Points walked back by the exact denoiser.
        learned: Points walked back by a trained network.
    """

    forward: tuple[Mode, Mode]
    exact: tuple[Mode, Mode]
    learned: tuple[Mode, Mode]


class Measured(_Record):
    """All that a study measured of a run: what ``metrics.json`` holds. What was not measured is empty or None.

    Attributes:
        judgement: Of samples drawn as the run is configured; its fields stand in the file beside the others.
        train_seconds: Time that training took.
        total_seconds: Time that all of it took.
        parameters: Of the network.
        samplers: Samplers compared.
        guidance: Scales of guidance compared.
        mixture: Where points of a mixture of two modes ended.
        machine: What times were measured on, in a line.
    """

    judgement: Judgement | None = None
    train_seconds: float | None = None
    total_seconds: float | None = None
    parameters: int | None = None
    samplers: tuple[SamplerResult, ...] = ()
    guidance: GuidanceSweep | None = None
    mixture: MixtureEnds | None = None
    machine: str = ""

    def as_dict(self) -> dict[str, Any]:
        judged = {} if self.judgement is None else self.judgement.as_dict()
        return {**judged, **self.model_dump(exclude={"judgement"})}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Measured:
        """Returns what :meth:`as_dict` gave.

        Raises:
            KakusanError: A value is missing or of another kind; it is named.
        """
        judged = {name: values[name] for name in Judgement.model_fields if name in values}
        try:
            return cls.model_validate({**values, "judgement": judged or None})
        except ValidationError as error:
            wrong = error.errors()[0]
            place = ".".join(str(part) for part in wrong["loc"] if part != "judgement")
            if wrong["type"] == "missing":
                raise KakusanError(f"{place} is missing") from error
            if isinstance(wrong["input"], (dict, list)):
                raise KakusanError(f"{place} is not as this version of kakusan writes it") from error
            raise KakusanError(f"{place}: {wrong['msg'].lower()}, not {wrong['input']!r}") from error


class Forecast(_Record):
    """What a training will cost, from some seconds of it.

    Attributes:
        source: The preset or the file.
        device: Where it was measured.
        parameters: Of the network.
        steps, images: How long the training is.
        images_per_second: While it trains.
        data_wait: Share of that time spent waiting for batches.
        flop_per_image: Floating-point operations of a training step, an image.
        flops: Operations a second that this makes.
        peak_flops: Operations a second of a product of large matrices, measured in the same numbers.
        memory: The most bytes held while measuring; None where the system does not tell.
        memory_there: Bytes that the device has; None likewise.
        start_seconds: Before the first step has its pace: compiling and the like.
        train_seconds, samples_seconds, measurements_seconds, validation_seconds, checkpoints_seconds: What takes how
            long, to the end.
        disk: Bytes that the run directory will hold.
        disk_free: Bytes free where runs go.
        advice: What to change first, a sentence each, what saves most before the rest.
    """

    source: str
    device: str
    parameters: int
    steps: int
    images: int
    images_per_second: float
    data_wait: float
    flop_per_image: float
    flops: float
    peak_flops: float
    memory: int | None
    memory_there: int | None
    start_seconds: float
    train_seconds: float
    samples_seconds: float
    measurements_seconds: float = 0.0
    validation_seconds: float
    checkpoints_seconds: float
    disk: int
    disk_free: int
    advice: tuple[str, ...] = ()

    @property
    def utilisation(self) -> float:
        """Share of the device's measured peak that training reaches."""
        return self.flops / self.peak_flops

    @property
    def seconds(self) -> float:
        """Time to the end."""
        beside = self.samples_seconds + self.measurements_seconds + self.validation_seconds + self.checkpoints_seconds
        return self.start_seconds + self.train_seconds + beside

    def as_dict(self) -> dict[str, Any]:
        return {**self.model_dump(), "utilisation": self.utilisation, "seconds": self.seconds}


@dataclass(frozen=True, eq=False)
class Mixture:
    """What became of points of a mixture of two modes on a line, at the chain's T + 1 times t = 0, 1/T, …, 1.

    Attributes:
        truth: The mixture, with a chain of T ≥ 50 steps for its schedule.
        forward: Points under more and more noise, shape (T + 1, n).
        exact: Points walked back by the exact denoiser, shape (T + 1, n).
        learned: Points walked back by a trained network, shape (T + 1, n).
    """

    truth: GaussianMixture
    forward: Tensor
    exact: Tensor
    learned: Tensor


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Samples and what lies nearest to them; distances are Euclidean over all values of a picture.

    Attributes:
        samples: Values in [-1, 1], shape (n, C, H, W).
        nearest: The training image nearest to each, shape (n, C, H, W).
        distances: How far it is, shape (n,).
        real: How far some real images are from the nearest other one, shape (m,).
    """

    samples: Tensor
    nearest: Tensor
    distances: Tensor
    real: Tensor


@dataclass(frozen=True, eq=False)
class Moment:
    """One moment of a walk.

    Attributes:
        t: Its time.
        x: The picture there, (C, H, W).
        x0: The clean picture that was predicted on the way there, (C, H, W).
    """

    t: float
    x: Tensor
    x0: Tensor
