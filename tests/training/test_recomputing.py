"""Blocks computed twice give the same gradient, dropout included, and are as before afterwards."""

import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.networks import SimpleUNet, UNet
from kakusan.training.recomputing import recomputing
from tests import tiny


def gradients(network):
    torch.manual_seed(1)
    for parameter in network.parameters():
        parameter.grad = None
        torch.nn.init.normal_(parameter, std=0.2)
    network.train()(torch.randn(2, 1, 8, 8), torch.tensor([1.0, 2.0])).square().mean().backward()
    return [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("network", [UNet(1, channels=(8, 16), blocks=1, dropout=0.5), SimpleUNet(1, 1, 16, 8)])
def test_the_gradient_is_the_same(network):
    plain, computed = gradients(network), []
    block = next(module for module in network.modules() if hasattr(module, "recompute"))
    convolution = next(module for module in block.modules() if isinstance(module, torch.nn.Conv2d))
    convolution.register_forward_hook(lambda *_: computed.append("once"))
    with recomputing(network, on=True):
        again = gradients(network)
    assert len(computed) == 2
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert not block.recompute


def test_a_network_without_such_blocks_is_refused():
    with (
        pytest.raises(KakusanError, match="TinyNetwork has no blocks that can be computed again"),
        recomputing(tiny.network(), on=True),
    ):
        pass
    with recomputing(tiny.network(), on=False):
        pass
