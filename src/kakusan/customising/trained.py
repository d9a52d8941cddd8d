"""Those weights of a large model that learn: the rest of it is used, and neither copied, averaged nor saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from torch import Tensor, nn


class Trained(nn.Module):
    """What a model is called through while a few of its weights learn.

    Its parameters are these weights, under their own names. A copy of it has weights of its own and the same model,
    which wears them while it is called: so a running average of an adapter costs no more than the adapter.

    Args:
        whole: The model; what of it requires a gradient learns. Its attribute ``recompute`` says whether it computes
            blocks again for the gradient.
    """

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self._whole = (whole,)  # in a tuple, where torch does not look for parameters
        for name, weight in whole.named_parameters():
            if weight.requires_grad:
                _put(self, name, weight)
        self._live = tuple(self.parameters())
        self._own = list(self._live)  # of a copy, its own; to find them anew takes a noticeable part of a step

    def forward(self, *given: Any) -> Tensor:
        """Returns what the model makes of it, with these weights."""
        with self.worn() as whole:
            found: Tensor = whole(*given)
        return found

    @contextmanager
    def worn(self) -> Iterator[nn.Module]:
        """A context in which the model has these weights; then its own again."""
        (whole,) = self._whole
        own = self._own
        if own[0] is self._live[0]:
            yield whole
            return
        before = [weight.data for weight in self._live]
        try:
            for weight, other in zip(self._live, own, strict=True):
                weight.data = other.data
            yield whole
        finally:
            for weight, data in zip(self._live, before, strict=True):
                weight.data = data

    def __deepcopy__(self, memo: dict[int, Any]) -> Trained:
        for shared in (self._whole, self._live):
            memo[id(shared)] = shared
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied

    @property
    def recompute(self) -> bool:
        """Whether the model computes blocks again for the gradient."""
        return bool(self._whole[0].recompute)

    @recompute.setter
    def recompute(self, on: bool) -> None:
        self._whole[0].recompute = on  # type: ignore[assignment]


def _put(root: nn.Module, name: str, weight: nn.Parameter) -> None:
    """Registers a weight under a dotted name."""
    *path, leaf = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    root.register_parameter(leaf, weight)
