"""The running average forgets by half in so many images, whatever the batch."""

import pytest
import torch
from torch import nn

from kakusan.training.average import Average


class One(nn.Module):
    """One weight, and one number that is not trained."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight], dtype=torch.float64))
        self.register_buffer("counted", torch.tensor(0))


def following(start, weight, **given):
    """Returns the average of a network that began at ``start``, and the network, whose weight is another now."""
    one = One(start)
    average = Average(one, **given)
    one.weight.data.fill_(weight)
    return average, one


@pytest.mark.parametrize("batch_size", [1, 8, 50])
@pytest.mark.parametrize("images", [200, 400, 1000])
def test_after_a_half_life_half_of_the_way_is_left(batch_size, images):
    """From 0 towards a constant 1 the average is 1 − 2^(−images / half-life)."""
    average, _ = following(0.0, 1.0, half_life=100, ramp_up=0)
    for seen in range(batch_size, images + 1, batch_size):
        average.update(batch_size, seen)
    assert average.network.weight.item() == pytest.approx(1 - 2 ** (-images / 100), rel=1e-9)


def test_early_on_the_half_life_is_a_share_of_the_images_seen():
    """What is left of the start is the product of 2^(−B / min(h, share·images))."""
    average, _ = following(0.0, 1.0, half_life=20, ramp_up=0.5)
    left = 1.0
    for seen in range(10, 101, 10):
        average.update(10, seen)
        left *= 2 ** (-10 / min(20, 0.5 * seen))
        assert average.network.weight.item() == pytest.approx(1 - left, rel=1e-9)


def test_it_is_a_copy_for_evaluation_that_needs_no_gradient():
    one = One(0.0).train()
    average = Average(one, half_life=10, ramp_up=0)
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    average.update(10, 10)
    assert one.weight.item() == 0
    assert one.training
    assert one.weight.requires_grad


def test_what_is_not_trained_is_taken_over():
    average, one = following(0.0, 1.0, half_life=1e6, ramp_up=0)
    one.counted += 7
    average.update(1, 1)
    assert average.network.counted == 7


def test_a_skipped_step_moves_nothing():
    average, _ = following(0.0, 1.0, half_life=10, ramp_up=0)
    average.update(10, 10, torch.tensor(True))
    assert average.network.weight.item() == 0
    average.update(10, 20, torch.tensor(False))
    assert average.network.weight.item() == pytest.approx(0.5)
