"""Points on a line go into noise and come back, by the exact denoiser and by one that was trained for it."""

from itertools import pairwise

import pytest
import torch

from kakusan.reporting.language import language
from kakusan.reporting.sections.mixture import finding
from kakusan.results import Mode
from kakusan.studies import mixture as study
from kakusan.studies.mixture import ends, modes


@pytest.fixture(scope="module")
def mixture():
    return study.mixture()


def test_fifty_steps_reach_noise():
    chain = study.truth().schedule
    assert chain.steps == 50
    assert chain.alphas_cumprod[-1] < 1e-4


def test_every_process_has_a_thousand_points_at_every_time(mixture):
    for points in (mixture.forward, mixture.exact, mixture.learned):
        assert points.shape == (51, 1000)
        assert points.isfinite().all()
        assert points[-1].mean().item() == pytest.approx(0, abs=0.15)
        assert points[-1].std().item() == pytest.approx(1, abs=0.1)


def test_noising_is_one_walk_and_not_fresh_draws(mixture):
    """Neighbours in time correlate by √(1 − β) or more, since the data vary more than noise."""
    for (before, after), beta in zip(pairwise(mixture.forward), mixture.truth.schedule.betas, strict=True):
        assert torch.corrcoef(torch.stack([before, after]))[0, 1] > (1 - beta).sqrt() - 0.1


def test_both_walks_begin_in_the_same_noise_and_bring_both_modes_back(mixture):
    assert torch.equal(mixture.exact[-1], mixture.learned[-1])
    assert finding(language("en"), mixture, ends(mixture)).startswith("Both modes return")


def test_a_trained_network_comes_close_to_the_exact_denoiser(mixture):
    """Walked in the same noise, most points end near where the exact denoiser leaves them."""
    assert (mixture.learned[0] - mixture.exact[0]).abs().median() < 0.25


def test_the_same_points_are_made_again(mixture):
    study.mixture.cache_clear()
    again = study.mixture()
    assert all(
        torch.equal(getattr(again, process), getattr(mixture, process)) for process in ("forward", "exact", "learned")
    )
    assert ends(again) == ends(mixture)


def test_modes_are_the_two_sides_of_zero():
    left, right = modes(torch.tensor([-3.0, -1.0, 2.0, 2.0]))
    assert left == Mode(share=0.5, mean=-2.0, deviation=1.0)
    assert right == Mode(share=0.5, mean=2.0, deviation=0.0)
