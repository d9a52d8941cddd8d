"""What a network is told of time and class."""

import math

import pytest
import torch

from kakusan.networks.embeddings import ClassEmbedding, TimeEmbedding, sinusoidal_embedding


def test_sines_come_first_and_frequencies_fall_from_1_to_a_ten_thousandth():
    embedding = sinusoidal_embedding(torch.tensor([0.0, 3.0, 999.5]), 8).double()
    for clock, row in zip([0.0, 3.0, 999.5], embedding.tolist(), strict=True):
        angles = [clock * 10 ** (-4 * k / 3) for k in range(4)]
        assert row == pytest.approx([*map(math.sin, angles), *map(math.cos, angles)], abs=1e-4)


@pytest.mark.parametrize("width", [2, 3, 7, 128])
def test_any_width_is_finite_and_bounded(width):
    embedding = sinusoidal_embedding(torch.linspace(-1, 999, 50), width)
    assert embedding.shape == (50, width)
    assert embedding.dtype == torch.float32
    assert embedding.abs().max() <= 1
    if width % 2:
        assert (embedding[:, -1] == 0).all()


def test_neighbouring_times_are_told_apart():
    """Even half an index: continuous time needs no integers."""
    embedding = sinusoidal_embedding(torch.arange(0, 1000, 0.5), 32)
    assert embedding.diff(dim=0).norm(dim=1).min() > 0.1


def test_half_precision_keeps_the_clock_exact():
    """The sinusoid is taken in float32: bfloat16 cannot tell index 998 from 999."""
    embedding = TimeEmbedding(16, 32).to(torch.bfloat16)(torch.tensor([998.0, 999.0]))
    assert embedding.dtype == torch.bfloat16
    assert not torch.equal(embedding[0], embedding[1])


def test_the_null_class_is_the_last_row():
    embedding = ClassEmbedding(3, 4)
    assert embedding.weight.shape == (4, 4)
    assert torch.equal(embedding(torch.tensor([-1, 0, 2])), embedding.weight[[3, 0, 2]])


def test_a_label_one_too_high_is_not_taken_for_the_null_class():
    with pytest.raises(IndexError):
        ClassEmbedding(3, 4)(torch.tensor([3]))
