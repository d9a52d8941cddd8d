"""What a training will cost."""

from __future__ import annotations

from typing import Any

from kakusan.results.value import Record


class Forecast(Record):
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
        encoding_seconds: To encode all images, where it learns in latents.
        train_seconds, samples_seconds, measurements_seconds, validation_seconds, checkpoints_seconds: What takes how
            long, to the end.
        disk: Bytes that the run directory will hold, and the latents beside it.
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
    encoding_seconds: float = 0.0
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
        return self.start_seconds + self.encoding_seconds + self.train_seconds + beside

    def as_dict(self) -> dict[str, Any]:
        return {**self.model_dump(), "utilisation": self.utilisation, "seconds": self.seconds}
