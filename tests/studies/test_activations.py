"""What autograd keeps is counted once, and no weight is."""

import torch
from torch import nn

from kakusan.studies.activations import activations


class Squares(nn.Module):
    """Keeps its input for the one layer, and that layer's output, once, for the square."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 1, bias=False)

    def forward(self, x, clock):
        return self.layer(x).square()


def test_inputs_of_layers_are_kept_and_weights_are_not_counted():
    assert activations(Squares(), (1, 8, 8)) == 4 * 64 * (1 + 3)
    assert activations(Squares(), (1, 8, 8), batch=1) == 4 * 64 * (1 + 3)


def test_what_needs_no_gradient_keeps_nothing():
    assert activations(Squares().requires_grad_(False), (1, 8, 8)) == 0
    with torch.no_grad():
        assert activations(Squares(), (1, 8, 8)) > 0
