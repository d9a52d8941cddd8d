"""What a training step keeps in memory, beside the weights and their moments."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kakusan.devices import device_of


def activations(network: nn.Module, shape: tuple[int, int, int], batch: int = 4) -> float:
    """Returns the bytes that autograd keeps of one step for the way back, an image.

    Args:
        network: From (x, clock) to an output.
        shape: (C, H, W) of x.
        batch: Images of the step.
    """
    kept: dict[int, int] = {}
    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    device = device_of(network)

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x, clock = torch.zeros(batch, *shape, device=device), torch.full((batch,), 500.0, device=device)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = network(x, clock)  # held until all is counted, so that no place is used twice
    del output
    return sum(kept.values()) / batch
