"""Two modes on a line: noised, and walked back by the exact denoiser and by a small network trained for it."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakusan import grids, schedules, seeds
from kakusan.closed_form import GaussianMixture
from kakusan.denoiser import Bind, Denoise, Denoiser
from kakusan.networks.embeddings import TimeEmbedding
from kakusan.objective import TimeSampling, denoising_loss, q_step
from kakusan.parametrization import Epsilon
from kakusan.reporting.shown import Mixture
from kakusan.results import MixtureEnds, Mode
from kakusan.samplers import ddpm

_SEED = 0
_POINTS = 1000
_STEPS = 50
_WIDTH = 64
_TRAINING_STEPS, _BATCH, _RATE = 800, 256, 1e-2


def truth() -> GaussianMixture:
    """Returns the mixture: modes at ±2 of deviation 0.5, noised in 50 steps.

    β is that of the usual linear chain times 1000/50, so that 50 steps end where 1000 of the usual ones do, in noise.
    """
    scale = 1000 / _STEPS
    schedule = schedules.linear(_STEPS, 1e-4 * scale, 0.02 * scale)
    means = torch.tensor([[-2.0], [2.0]], dtype=torch.float64)
    return GaussianMixture(means, 0.5, torch.ones(2, dtype=torch.float64), schedule)


@cache  # whoever measures them and whoever shows them mean the same points
def mixture() -> Mixture:
    """Noises a thousand points and walks others back, in seconds and from fixed seeds."""
    exact = truth()
    return Mixture(exact, _forward(exact), _back(exact), _back(Bind(_trained(exact))))


def ends(mixture: Mixture) -> MixtureEnds:
    """Returns where the points of each process end, at clean data."""
    return MixtureEnds(
        forward=modes(mixture.forward[0]), exact=modes(mixture.exact[0]), learned=modes(mixture.learned[0])
    )


def modes(points: Tensor) -> tuple[Mode, Mode]:
    """Returns what lies left of 0 and what lies right of it, of points of shape (n,)."""
    left = points < 0
    return _mode(points[left], len(points)), _mode(points[~left], len(points))


def _mode(points: Tensor, of: int) -> Mode:
    if len(points) == 0:
        return Mode(share=0.0, mean=math.nan, deviation=math.nan)
    return Mode(share=len(points) / of, mean=points.mean().item(), deviation=points.std(correction=0).item())


class _Perceptron(nn.Module):
    """Tells the noise in a number from the number and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.time = TimeEmbedding(16, _WIDTH)
        self.input, self.hidden, self.output = nn.Linear(1, _WIDTH), nn.Linear(_WIDTH, _WIDTH), nn.Linear(_WIDTH, 1)

    def forward(self, x: Tensor, clock: Tensor) -> Tensor:
        features = functional.silu(self.input(x) + self.time(clock))
        output: Tensor = self.output(functional.silu(self.hidden(features)))
        return output


def _trained(exact: GaussianMixture) -> Denoiser:
    """Returns a small network that has learned ε from samples of the mixture."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(_SEED, "weights"))
        denoiser = Denoiser(_Perceptron(), exact.schedule, Epsilon())
    optimizer = torch.optim.Adam(denoiser.parameters(), _RATE)
    fall = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, _TRAINING_STEPS)
    times, generator = TimeSampling(stratified=True), seeds.generator(_SEED, "training")
    for _ in range(_TRAINING_STEPS):
        x0 = exact.sample(_BATCH, generator).float()
        t = times(exact.schedule, times.quantiles(_BATCH, generator))
        loss = denoising_loss(denoiser, x0, t, torch.randn(x0.shape, generator=generator)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        fall.step()
    return denoiser


def _forward(exact: GaussianMixture) -> Tensor:
    """Returns points of the mixture under more and more noise, shape (T + 1, n)."""
    generator = seeds.generator(_SEED, "forward")
    points = [exact.sample(_POINTS, generator)]
    for s, t in pairwise(grids.trailing(exact.schedule, _STEPS).flip(0)):
        noise = torch.randn(points[-1].shape, generator=generator, dtype=torch.float64)
        points.append(q_step(exact.schedule, points[-1], s, t, noise))
    return torch.stack(points).squeeze(2)


def _back(denoise: Denoise) -> Tensor:
    """Returns points walked from noise to data, the same noise for every denoiser; clean ones first, (T + 1, n)."""
    generator = seeds.generator(_SEED, "back")

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    times = grids.trailing(denoise.schedule, _STEPS)
    start = denoise.schedule(times[0])[1] * noise(torch.empty(_POINTS, 1, dtype=torch.float64))
    walked = [start, *(step.x for step in ddpm(denoise, start, times, noise=noise))]
    return torch.stack(walked).squeeze(2).flip(0)
