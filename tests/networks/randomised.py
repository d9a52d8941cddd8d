"""Networks as training leaves them: no layer is zero any more."""

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def randomised(network: Network, seed: int = 0) -> Network:
    """Returns ``network`` with weights as large as torch makes them, in every layer, those that start at zero too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            spread = (3 * parameter[0].numel()) ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.normal_(0.0, spread, generator=generator)
        for module in network.modules():
            if isinstance(module, nn.GroupNorm):
                module.weight.add_(1.0)
    return network
