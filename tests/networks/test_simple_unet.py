"""The chapter's U-Net: its names, its counts, its equation."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from kakusan.errors import KakusanError
from kakusan.networks import SimpleUNet
from kakusan.networks.simple_unet import ResidualBlock
from tests.networks.randomised import randomised


@pytest.mark.parametrize(
    ("base", "width", "count"), [(64, 256, 4_151_299), (32, 128, 1_040_387), (128, 256, 15_896_323)]
)
def test_parameters_are_as_many_as_in_the_chapter(base, width, count):
    network = SimpleUNet(3, 3, width, base)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_names_are_the_chapters():
    """A checkpoint of the chapter's own listing loads without a change."""
    network = SimpleUNet(base_channels=8, time_emb_dim=16)
    ends = ("weight", "bias")
    blocks = {"down1": True, "down2": True, "down3": True, "bottleneck": False} | dict.fromkeys(
        ("up_block1", "up_block2", "up_block3"), True
    )
    layers = ["time_mlp.1", "up1", "up2", "up3", "out"]
    for block, has_residual_conv in blocks.items():
        layers += [f"{block}.{layer}" for layer in ("conv1", "conv2", "time_mlp", "norm1", "norm2")]
        layers += [f"{block}.residual_conv"] * has_residual_conv
    assert set(network.state_dict()) == {f"{layer}.{end}" for layer in layers for end in ends}
    assert isinstance(network.bottleneck.residual_conv, nn.Identity)
    assert isinstance(network.pool, nn.MaxPool2d)


def test_a_block_follows_its_equation():
    block = randomised(ResidualBlock(3, 8, 4)).double()
    x, t = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 4).double()
    told = block.time_mlp(functional.silu(t)).reshape(2, 8, 1, 1)
    h = functional.silu(block.norm1(block.conv1(x)) + told)
    expected = functional.silu(block.norm2(block.conv2(h))) + block.residual_conv(x)
    torch.testing.assert_close(block(x, t), expected)


def test_a_gradient_reaches_every_parameter():
    """With 16 channels: in groups of one, the normalisation would remove the bias of the convolution before it."""
    network = SimpleUNet(3, 3, 16, 16)
    network(torch.randn(2, 3, 16, 8), torch.tensor([3, 700])).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 1e-6, name


@pytest.mark.parametrize("count", [1, 3])
def test_integer_and_float_times_are_the_same(count):
    network = SimpleUNet(1, 2, 16, 8)
    x, t = torch.randn(count, 1, 8, 24), torch.arange(count)
    assert network(x, t).shape == (count, 2, 8, 24)
    assert torch.equal(network(x, t), network(x, t.float()))


def test_what_does_not_fit_is_refused():
    network = SimpleUNet(3, 3, 16, 8)
    with pytest.raises(KakusanError, match=r"a height of 28 .* multiple of 8, such as 24 or 32"):
        network(torch.zeros(1, 3, 28, 32), torch.zeros(1))
    with pytest.raises(KakusanError, match=r"images of shape \(B, 3, H, W\), not \(1, 1, 32, 32\)"):
        network(torch.zeros(1, 1, 32, 32), torch.zeros(1))
    with pytest.raises(KakusanError, match="base_channels must be a multiple of 8, not 12"):
        SimpleUNet(base_channels=12)
    with pytest.raises(KakusanError, match="time_emb_dim must be even and at least 2, not 15"):
        SimpleUNet(time_emb_dim=15)
