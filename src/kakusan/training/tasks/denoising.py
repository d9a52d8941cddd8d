"""The task at the heart of it: learn to see the image through the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kakusan import pictures, sampling, seeds
from kakusan.condition import Condition
from kakusan.config.models import Sampling
from kakusan.data.batches import Batch
from kakusan.denoiser import Denoiser
from kakusan.devices import sent
from kakusan.model import Model
from kakusan.objective import TimeSampling, denoising_loss
from kakusan.seeds import Draws
from kakusan.training.task import decay_matrices_only

_PREVIEW_SEED = 0
_LEVELS = 8
_GOLDEN = (5**0.5 - 1) / 2  # whose multiples, modulo 1, leave no gap large


class Denoising:
    """Trains the network of a model's denoiser.

    Args:
        model: The model; its denoiser's network is trained in place.
        times: Which times a step visits.
        condition_dropout: Share of conditions replaced by the null condition, so that guidance has both.
        settings: How preview pictures are drawn.

    Raises:
        KakusanError: Pictures cannot be drawn so: told now, and not when the first are due.
    """

    separable = True
    together = 0

    def __init__(self, model: Model, times: TimeSampling, condition_dropout: float, settings: Sampling) -> None:
        self._model = model
        self._times = times
        self._condition_dropout = condition_dropout
        self._settings = settings
        self.preview_plan(self.network)

    @property
    def network(self) -> nn.Module:
        """The denoiser's network."""
        return self._model.denoiser.network

    @network.setter
    def network(self, network: nn.Module) -> None:
        self._model.denoiser.network = network

    def groups(self) -> list[dict[str, Any]]:
        return decay_matrices_only(self.network)

    def losses(self, batch: Batch, draws: Draws) -> Tensor:
        denoiser = self._model.denoiser
        quantiles = self._times.quantiles(draws.count, draws.generator("times"))[draws.share]
        noise = sent(draws.normal("noise", self._model.latent_shape), batch.images.device)
        condition = self._condition(batch)
        if condition is not None:
            condition = condition.drop(sent(draws.chance("dropped", self._condition_dropout), batch.images.device))
        return denoising_loss(denoiser, batch.images, self._times(denoiser.schedule, quantiles), noise, condition)

    def _condition(self, batch: Batch) -> Condition | None:
        """Returns what a model is told of the images of a batch."""
        labels = batch.labels if self._model.class_names else None
        words = None if self._model.words is None else batch.words
        assert (labels is None) != bool(self._model.class_names), "a model by class is built from labelled data only"
        assert (words is None) == (self._model.words is None), "a model that reads is built from captions only"
        return None if labels is None and words is None else Condition(labels, words)

    def levels(self) -> list[float]:
        """Noise levels that training visits equally often, the cleanest first."""
        ends = self._times_at(torch.linspace(0, 1, _LEVELS + 1, dtype=torch.float64))
        return [float(end) for end in self._model.denoiser.schedule.log_snr(ends).clamp(-99, 99)]

    def held_out(self, network: nn.Module, batch: Batch, seed: int, numbers: Sequence[int]) -> Tensor:
        """At every level with the same noise; an image's place within the levels is its own, spread evenly over all."""
        own = self._model.denoiser
        denoiser = Denoiser(network, own.schedule, own.parametrization)
        noise = seeds.ImageNoise(seed, numbers, "held-out noise")(batch.images)
        place = (torch.tensor(numbers, dtype=torch.float64) + 0.5) * _GOLDEN % 1
        condition = self._condition(batch)
        times = [self._times_at((level + place) / _LEVELS) for level in range(_LEVELS)]
        return torch.stack([denoising_loss(denoiser, batch.images, t, noise, condition) for t in times], dim=1)

    def _times_at(self, share: Tensor) -> Tensor:
        """Returns the times than which training visits cleaner ones in a ``share``, in [0, 1], of its draws."""
        schedule, last = self._model.denoiser.schedule, 1 - 1e-9  # draws lie below 1
        first, end = self._times(schedule, torch.tensor([0.0, last], dtype=torch.float64))
        return self._times(schedule, (share if first < end else 1 - share).clamp(max=last))

    def preview(self, network: nn.Module, progress: sampling.Progress | None = None) -> Tensor | None:
        """Draws a column of 4 images for every class, or 16 images without classes; of many classes, 64 images.

        None where the channels make no picture.
        """
        if self._model.shape[0] not in (1, 3):
            return None
        classes = len(self._model.class_names)
        images = sampling.sample(self.preview_plan(network), progress)
        sheet = pictures.grid(images, columns=classes if 0 < 4 * classes <= len(images) else None)
        return pictures.legible(sheet, images.shape[-1])

    def preview_plan(self, network: nn.Module) -> sampling.Plan:
        """Returns how the images of a preview are drawn from a network."""
        denoiser = Denoiser(network, self._model.denoiser.schedule, self._model.denoiser.parametrization)
        model = replace(self._model, denoiser=denoiser)
        n = min(4 * len(self._model.class_names), 64) or 16
        return sampling.plan(model, n=n, settings=self._settings, seed=_PREVIEW_SEED)
