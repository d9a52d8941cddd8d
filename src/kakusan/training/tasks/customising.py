"""Teaching a pipeline what it does not know yet, from a few images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kakusan import pictures, seeds
from kakusan.condition import Condition
from kakusan.config import models as config
from kakusan.customising import Customised, Showing, Trained
from kakusan.data.batches import Batch
from kakusan.denoiser import Denoiser
from kakusan.devices import sent
from kakusan.objective import TimeSampling, denoising_loss
from kakusan.parametrization import Epsilon, V
from kakusan.sampling import Progress
from kakusan.seeds import Draws
from kakusan.training.task import decay_matrices_only

_GOLDEN = (5**0.5 - 1) / 2  # whose multiples, modulo 1, leave no gap large
_LEVELS = 4
_SHOWN = 4  # images of a prompt


class Customising:
    r"""Trains what learns of a pipeline, by the pipeline's own noise and prediction.

    .. math:: L = w_{kind}\, w_t\, \frac{1}{D} \lVert F(x_t, t, c) - F^* \rVert^2

    Args:
        learned: The pipeline.

    Source: of images of the kind, Ruiz et al., "DreamBooth", 2023, equation (2); of :math:`w_t`, Hang et al.,
    "Efficient Diffusion Training via Min-SNR Weighting Strategy", 2023, section 3.4.
    """

    separable = True
    together = 0

    def __init__(self, learned: Customised) -> None:
        assert isinstance(learned.settings.objective, config.Customising), "asked for by whoever knows"
        self._how, self._learned = learned.settings.objective, learned
        self._times = TimeSampling(stratified=True)

    @property
    def network(self) -> nn.Module:
        """Of the pipeline, the weights that learn."""
        return self._learned.denoiser.network

    @network.setter
    def network(self, network: nn.Module) -> None:
        self._learned.denoiser.network = network

    def groups(self) -> list[dict[str, Any]]:
        return decay_matrices_only(self.network)

    def losses(self, batch: Batch, draws: Draws) -> Tensor:
        assert batch.labels is not None, "every image goes with a prompt"
        denoiser, device, shape = self._learned.denoiser, batch.images.device, batch.images.shape[1:]
        quantiles = self._times.quantiles(draws.count, draws.generator("times"))[draws.share]
        noise = draws.normal("noise", shape)
        if self._how.noise_offset:
            noise = noise + self._how.noise_offset * draws.normal("noise offset", (shape[0], 1, 1))
        hidden = sent(draws.chance("dropped", self._how.condition_dropout), device)
        times = self._times(denoiser.schedule, quantiles)
        condition = Condition(batch.labels).drop(hidden)
        found = denoising_loss(denoiser, batch.images, times, sent(noise, device), condition)
        return found * sent(self._weight(times).float(), device) * self._counts(batch.labels)

    def _weight(self, times: Tensor) -> Tensor:
        """Returns how much every time counts, shape (B,): min(SNR, γ) in the image, whatever is predicted."""
        if self._how.min_snr is None:
            return torch.ones_like(times)
        snr = self._learned.denoiser.schedule.log_snr(times).exp()
        kept = snr.clamp(max=self._how.min_snr)
        match self._learned.denoiser.parametrization:
            case Epsilon():
                return kept / snr
            case V():
                return kept / (snr + 1)
        return kept

    def _counts(self, labels: Tensor) -> Tensor:
        """Returns how much every image counts, shape (B,): those of the kind, whose prompts are the last, their own."""
        if not self._how.class_prompts:
            return torch.ones((), device=labels.device)
        of_kind = labels >= len(self._learned.prompts) - len(self._how.class_prompts)
        return torch.where(of_kind, self._how.prior_weight, 1.0)

    def levels(self) -> list[float]:
        schedule = self._learned.denoiser.schedule
        ends = schedule.training_time(torch.linspace(0, 1, _LEVELS + 1, dtype=torch.float64).clamp(max=1 - 1e-9))
        return [float(end) for end in schedule.log_snr(ends).clamp(-99, 99)]

    def held_out(self, network: nn.Module, batch: Batch, seed: int, numbers: Sequence[int]) -> Tensor:
        """At every level with the same noise; an image's place within the levels is its own, spread evenly over all."""
        assert batch.labels is not None, "every image goes with a prompt"
        own = self._learned.denoiser
        denoiser = Denoiser(network, own.schedule, own.parametrization)
        noise = seeds.ImageNoise(seed, numbers, "held-out noise")(batch.images)
        place = (torch.tensor(numbers, dtype=torch.float64) + 0.5) * _GOLDEN % 1
        times = [own.schedule.training_time((level + place) / _LEVELS) for level in range(_LEVELS)]
        condition = Condition(batch.labels)
        return torch.stack([denoising_loss(denoiser, batch.images, t, noise, condition) for t in times], dim=1)

    @torch.no_grad()
    def preview(self, network: nn.Module, progress: Progress | None = None) -> Tensor | None:
        """Draws a row of images a prompt, always from the same noise."""
        assert isinstance(network, Trained), "a copy of what learns"
        with network.worn():
            images = Showing.of(self._learned).drawn(self._learned.base, _SHOWN, progress)
        return pictures.legible(pictures.grid(images, columns=_SHOWN), images.shape[-1])
