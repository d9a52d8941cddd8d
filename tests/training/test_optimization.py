"""The learning rate counts images, and weight decay leaves vectors alone."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kakusan.config.models import Optimizer
from kakusan.training.optimization import adamw, learning_rate, step
from kakusan.training.task import decay_matrices_only

SETTINGS = Optimizer(learning_rate=1e-3, warmup_images=1000)


def test_it_rises_linearly_to_its_peak_and_falls_as_half_a_cosine():
    assert learning_rate(SETTINGS, 250, 5000) == pytest.approx(0.25e-3)
    assert learning_rate(SETTINGS, 1000, 5000) == pytest.approx(1e-3)
    assert learning_rate(SETTINGS, 2000, 5000) == pytest.approx(1e-3 * (0.5 + 0.5 * math.cos(math.pi / 4)))
    assert learning_rate(SETTINGS, 3000, 5000) == pytest.approx(0.5e-3)
    assert learning_rate(SETTINGS, 5000, 5000) == pytest.approx(0, abs=1e-12)


def test_the_peak_is_the_highest():
    rates = [learning_rate(SETTINGS, images, 5000) for images in range(10, 5001, 10)]
    assert max(rates) == rates[99] == 1e-3
    assert rates[:100] == sorted(rates[:100])
    assert rates[99:] == sorted(rates[99:], reverse=True)


def test_without_decay_it_stays_and_without_warm_up_it_starts_there():
    steady = Optimizer(learning_rate=1e-3, warmup_images=1000, decay="none")
    assert learning_rate(steady, 5000, 5000) == 1e-3
    assert learning_rate(Optimizer(learning_rate=1e-3, warmup_images=0, decay="none"), 1, 5000) == 1e-3
    assert learning_rate(Optimizer(learning_rate=1e-3, warmup_images=0), 0, 5000) == 1e-3


@pytest.mark.parametrize("total", [10, 1000])
def test_a_training_shorter_than_its_warm_up_only_rises(total):
    rates = [learning_rate(SETTINGS, images, total) for images in range(1, total + 1)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(1e-3 * total / 1000)


def test_decay_takes_from_matrices_and_kernels_only():
    """With no gradient a step of AdamW is the decay alone: θ ← (1 − lr·λ)·θ."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Linear(4, 2), nn.Embedding(3, 2))
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1.0)
        parameter.grad = torch.zeros_like(parameter)
    task = SimpleNamespace(groups=lambda: decay_matrices_only(network))
    adamw(task, Optimizer(learning_rate=0.1, weight_decay=0.5)).step()
    for parameter in network.parameters():
        expected = 0.95 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter, torch.full_like(parameter, expected))


def test_every_parameter_is_in_one_group_and_frozen_ones_in_none():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].weight.requires_grad_(False)
    grouped = [parameter for group in decay_matrices_only(network) for parameter in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in network.parameters() if p.requires_grad}
    assert len(grouped) == 3


@pytest.mark.parametrize("rate", [1e-3, 2.5e-4])
def test_a_group_with_a_rate_of_its_own_keeps_the_proportion(rate):
    """With no gradient a step is the decay alone, (1 − lr·λ), which shows the rate."""
    fast, slow = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    for parameter in (fast, slow):
        parameter.grad = torch.zeros_like(parameter)
    settings = Optimizer(learning_rate=1e-3, weight_decay=0.5)
    optimizer = adamw(SimpleNamespace(groups=lambda: [{"params": [fast]}, {"params": [slow], "lr": 1e-4}]), settings)
    step(optimizer, settings, rate, torch.tensor(False))
    assert optimizer.param_groups[0]["lr"] == rate
    torch.testing.assert_close(fast.detach(), torch.full((2,), 1 - 0.5 * rate))
    torch.testing.assert_close(slow.detach(), torch.full((2,), 1 - 0.05 * rate))
    assert fast.grad is None


@pytest.mark.parametrize("fused", [True, False])
def test_a_skipped_step_leaves_weights_and_moments(fused):
    weight = nn.Parameter(torch.ones(2))
    settings = Optimizer(fused=fused)
    optimizer = adamw(SimpleNamespace(groups=lambda: [{"params": [weight]}]), settings)
    for gradient, skip in ((1.0, False), (math.nan, True)):
        before = weight.detach().clone()
        weight.grad = torch.full((2,), gradient)
        step(optimizer, settings, 1e-3, torch.tensor(skip))
    assert torch.equal(weight, before)
    assert optimizer.state[weight]["step"] == 1
    assert all(moment.isfinite().all() for moment in optimizer.state[weight].values())
