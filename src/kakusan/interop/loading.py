"""What other libraries load of their own files, whole or not at all; and without a word beside ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
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
    with quietly():
        found, report = load(place, use_safetensors=True, output_loading_info=True, **how)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"{missing[0]} is missing")
    return found


@contextmanager
def quietly() -> Iterator[None]:
    """A context in which libraries neither warn nor draw bars: that a model brings no safety checker is no surprise
    here, what is loaded in a moment needs no bar, and that a prompt is cut has been said."""
    loggings = []
    for library in ("diffusers", "transformers"):
        with suppress(ImportError):
            loggings.append(import_module(f"{library}.utils.logging"))
    before = [(logging, logging.get_verbosity(), logging.is_progress_bar_enabled()) for logging in loggings]
    for logging in loggings:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of names that older versions know alone
            yield
    finally:
        for logging, verbosity, bars in before:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
