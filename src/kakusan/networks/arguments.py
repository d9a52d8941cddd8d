"""What a network was made with, so that an equal one can be made elsewhere."""

from inspect import signature
from typing import Any

from torch import nn


def arguments_of(network: nn.Module) -> dict[str, Any]:
    """Returns what its class is to be called with for an equal network, which every network of ours keeps in attributes
    of the same names."""
    return {name: getattr(network, name) for name in signature(type(network)).parameters}
