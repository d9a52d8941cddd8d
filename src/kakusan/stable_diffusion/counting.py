"""How much memory a network computes with at a time, found without computing: every tensor is on no device."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class Live(TorchDispatchMode):
    """Sums the bytes of all tensors that are made and live.

    Attributes:
        most: That there were at a time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for it in tree_iter(made):
            if isinstance(it, Tensor) and it.device.type == "meta":
                self._seen(it.untyped_storage())
        return made

    def _seen(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class _Fused(TorchFunctionMode):
    """Attention as GPUs and CPUs compute it: without a matrix of all pairs."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is scaled_dot_product_attention:
            query, _, value = args[:3]
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[Live]:
    """A context in which what is made on torch's device ``meta`` is counted, as if without gradients."""
    with torch.no_grad(), _Fused(), Live() as live:
        yield live
