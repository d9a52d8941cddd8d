"""What a study measured of a run: the content of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from kakusan.errors import KakusanError
from kakusan.results.judgement import Judgement
from kakusan.results.value import Record


class SamplerResult(Record):
    """What one sampler costs, and how well it does.

    Attributes:
        name: The sampler.
        steps: Its steps.
        nfe: Network calls an image.
        seconds: For all images together.
        images: How many were drawn.
        class_accuracy: Share recognised as the class that was asked for; None where not measured.
        frechet_distance: Distance from real images; None where not measured.
        frechet_distance_interval: Its confidence interval of 95 %; None where not measured.
    """

    name: str
    steps: int
    nfe: int
    seconds: float
    images: int
    class_accuracy: float | None = None
    frechet_distance: float | None = None
    frechet_distance_interval: tuple[float, float] | None = None

    @property
    def seconds_per_image(self) -> float:
        """Time for one image."""
        return self.seconds / self.images


class GuidanceResult(Record):
    """What one scale of guidance does.

    Attributes:
        guidance: The scale w.
        class_accuracy: Share recognised as the class that was asked for.
        saturated: Share of values that are the darkest or the brightest a picture can hold.
    """

    guidance: float
    class_accuracy: float
    saturated: float


class GuidanceSweep(Record):
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


class Mode(Record):
    """The points on one side of 0.

    Attributes:
        share: Of all points.
        mean: Where they are; NaN without any.
        deviation: How wide they lie; NaN without any.
    """

    share: float
    mean: float
    deviation: float


class MixtureEnds(Record):
    """Where the points of a :class:`Mixture` end: for each process those left of 0 and those right of it.

    Attributes:
        forward: Points drawn from the mixture, before any noise.
        exact: Points walked back by the exact denoiser.
        learned: Points walked back by a trained network.
    """

    forward: tuple[Mode, Mode]
    exact: tuple[Mode, Mode]
    learned: tuple[Mode, Mode]


class Measured(Record):
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
