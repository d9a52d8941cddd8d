"""The parts of the U-Net, each against its definition."""

import pytest
import torch
from torch.nn import functional

from kakusan.networks.blocks import Attention, Downsample, ResidualBlock, Upsample
from tests.networks.randomised import randomised


def residual_block(**changes):
    options = {"time_width": 6, "groups": 4, "eps": 1e-6, "dropout": 0.0, "scale_shift": False}
    return ResidualBlock(8, 12, **options | changes)


@pytest.mark.parametrize("scale_shift", [False, True])
def test_a_new_residual_block_is_its_shortcut(scale_shift):
    block = residual_block(scale_shift=scale_shift)
    x = torch.randn(2, 8, 4, 6)
    assert torch.equal(block(x, torch.randn(2, 6)), block.shortcut(x))


@pytest.mark.parametrize("scale_shift", [False, True])
def test_a_residual_block_follows_its_equation(scale_shift):
    block = randomised(residual_block(scale_shift=scale_shift)).double()
    x, time = torch.randn(3, 8, 4, 6).double(), torch.randn(3, 6).double()
    h = block.conv1(functional.silu(block.norm1(x)))
    told = block.time(time).reshape(3, -1, 1, 1)
    m = block.norm2(h) * (1 + told[:, :12]) + told[:, 12:] if scale_shift else block.norm2(h + told)
    torch.testing.assert_close(block(x, time), block.shortcut(x) + block.conv2(functional.silu(m)))


def test_dropout_acts_in_training_and_rests_in_evaluation():
    block = randomised(residual_block(dropout=0.5))
    x, time = torch.randn(2, 8, 4, 4), torch.randn(2, 6)
    assert not torch.equal(block.train()(x, time), block(x, time))
    assert torch.equal(block.eval()(x, time), block(x, time))


def test_new_attention_changes_nothing():
    x = torch.randn(2, 8, 3, 5)
    assert torch.equal(Attention(8, heads=2, groups=4, eps=1e-6)(x), x)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_follows_its_equation(heads):
    attention = randomised(Attention(8, heads=heads, groups=4, eps=1e-6)).double()
    x = torch.randn(2, 8, 3, 5).double()
    pixels = attention.norm(x).flatten(2).mT
    q, k, v = (layer(pixels).reshape(2, 15, heads, -1) for layer in (attention.query, attention.key, attention.value))
    weights = (torch.einsum("bihd,bjhd->bhij", q, k) / (8 / heads) ** 0.5).softmax(-1)
    seen = torch.einsum("bhij,bjhd->bihd", weights, v).reshape(2, 15, 8)
    torch.testing.assert_close(attention(x), x + attention.output(seen).mT.reshape(2, 8, 3, 5))


def test_attention_does_not_care_about_the_order_of_pixels():
    attention = randomised(Attention(8, heads=2, groups=4, eps=1e-6))
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(attention(x.flip(2, 3)), attention(x).flip(2, 3))


def test_halving_is_a_convolution_padded_at_the_right_and_at_the_bottom():
    downsample, x = Downsample(4).double(), torch.randn(2, 4, 6, 10).double()
    padded = torch.zeros(2, 4, 7, 11).double()
    padded[:, :, :6, :10] = x
    expected = functional.conv2d(padded, downsample.weight, downsample.bias, stride=2)
    assert downsample(x).shape == (2, 4, 3, 5)
    torch.testing.assert_close(downsample(x), expected)


def test_doubling_repeats_pixels_and_convolves():
    upsample, x = Upsample(4).double(), torch.randn(2, 4, 6, 10).double()
    repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = functional.conv2d(repeated, upsample.weight, upsample.bias, padding=1)
    assert upsample(x).shape == (2, 4, 12, 20)
    torch.testing.assert_close(upsample(x), expected)
