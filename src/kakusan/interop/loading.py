"""What other libraries load of their own files, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def whole(load: Callable[..., Any], place: Any, **how: Any) -> Any:
    """Returns what a ``from_pretrained`` loads, from safetensors only.

    Args:
        load: That of a network of diffusers or transformers.
        place: From where.
        how: What it takes besides.

    Raises:
        ValueError: Weights are missing, which it would draw at random, with no more than a warning.
        Exception: What it raises itself; its errors have no common class.
    """
    found, report = load(place, use_safetensors=True, output_loading_info=True, **how)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"{missing[0]} is missing")
    return found
