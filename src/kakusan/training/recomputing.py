"""Activation checkpointing: blocks keep their inputs only, and are computed again when the gradient needs them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from kakusan.errors import KakusanError


@contextmanager
def recomputing(network: nn.Module, on: bool) -> Iterator[None]:
    """A context in which the blocks of a network that can be recomputed are, if ``on``.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.

    Raises:
        KakusanError: It has no such blocks.
    """
    blocks: list[Any] = [module for module in network.modules() if hasattr(module, "recompute")]
    if on and not blocks:
        raise KakusanError(
            f"{type(network).__name__} has no blocks that can be computed again (set "
            "training.activation_checkpointing to false, or give its blocks an attribute recompute that they obey)"
        )
    before = [block.recompute for block in blocks]
    try:
        for block in blocks:
            block.recompute = on or block.recompute
        yield
    finally:
        for block, was in zip(blocks, before, strict=True):
            block.recompute = was
