"""What to change first of a training whose cost is known."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from kakusan.config.models import CLIP, Autoencoder, Config
from kakusan.results import Forecast

_NOTICEABLE = 0.05
_DAY = 86_400
_COMPILING_PAYS = 0.5 * 3600  # seconds of training, and more


def advice(forecast: Forecast, settings: Config) -> Iterator[str]:
    """Says what to change first."""
    training, total = settings.training, forecast.seconds
    if forecast.disk > forecast.disk_free:
        yield "it needs more disk than is free: lower training.keep, or run it elsewhere"
    if forecast.memory and forecast.memory_there and forecast.memory > 0.9 * forecast.memory_there:
        half = max(1, (training.microbatch or training.batch_size) // 2)
        field = "batch_size" if isinstance(settings.network, (Autoencoder, CLIP)) else "microbatch"
        yield f"memory is all but full: --training.{field} {half}"
    if forecast.device == "cuda" and training.dtype == "float32" and torch.cuda.is_bf16_supported(False):
        yield "--dtype bfloat16: this device computes faster in it"
    if forecast.device == "cuda" and not training.compile and total > _COMPILING_PAYS:
        yield "--compile: minutes at the start, faster steps"
    if forecast.data_wait > 0.02 and settings.data.source.endswith(".safetensors"):  # others lie in memory
        yield f"steps wait {forecast.data_wait:.0%} of the time for images: a faster disk, or memory for the whole file"
    parts = (
        (forecast.samples_seconds, "grids of samples", "raise training.samples_every, or lower sampling.steps"),
        (forecast.measurements_seconds, "measuring samples", "raise evaluation.every, or lower evaluation.every_n"),
        (forecast.validation_seconds, "the held-out loss", "raise training.validate_every, or lower data.held_out"),
        (forecast.checkpoints_seconds, "saving", "raise training.checkpoint_every"),
    )
    for seconds, what, mend in sorted(parts, reverse=True):
        if seconds > _NOTICEABLE * total:
            yield f"{what} will take {seconds / total:.0%} of the time: {mend}"
    if forecast.device == "cpu" and total > _DAY:
        yield "a GPU: here it takes days; or a smaller network (network.channels), or fewer steps (--steps)"
    if not settings.data.held_out and total > _DAY:
        yield "no images are held out, so no checkpoint will be known for the best one: --data.held_out 500"
