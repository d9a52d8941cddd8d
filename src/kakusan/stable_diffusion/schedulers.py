"""What walks a pipeline: its own scheduler, or another of diffusers with the same chain and prediction."""

from __future__ import annotations

from inspect import signature
from typing import Any, cast

from kakusan.config.names import SCHEDULERS, Scheduler, load, lookup
from kakusan.errors import KakusanError


def require_scheduler(name: str | None, eta: float | None) -> None:
    """Refuses, before any pipeline is at hand, what does not exist, and an ``eta`` that would not be heeded.

    Raises:
        KakusanError: There is no scheduler of this name, or it heeds no ``eta``.
    """
    if name is not None and "eta" not in cast("Scheduler", lookup("scheduler", name)).takes:
        _refuse_eta(name, eta)


def scheduler_of(own: Any, name: str | None, model: str) -> Any:
    """Returns a new scheduler of diffusers for a pipeline.

    Args:
        own: The pipeline's, whose chain and prediction it takes over.
        name: One of those in :data:`kakusan.config.names.SCHEDULERS`; None: as the pipeline's own.
        model: The name of the pipeline, for people.

    Raises:
        KakusanError: The scheduler does not know what the pipeline was trained with.
    """
    if name is None:
        return type(own).from_config(own.config)
    chosen = SCHEDULERS[name]
    for field, value in chosen.lacks.items():
        if own.config.get(field) == value:
            raise KakusanError(
                f"{model} was trained with {field}={value}, which the scheduler {name} does not know (use ddim, say)"
            )
    return load(chosen).from_config(own.config, **chosen.config)


def eta_of(scheduler: Any, eta: float | None, usual: float) -> float | None:
    """Returns the randomness of a walk, the ``usual`` one where none is given; None where the scheduler heeds none.

    Raises:
        KakusanError: One is given, and it would not be heeded.
    """
    if "eta" not in signature(scheduler.step).parameters:
        _refuse_eta(type(scheduler).__name__, eta)
        return None
    return usual if eta is None else eta


def _refuse_eta(name: str, eta: float | None) -> None:
    if eta is not None:
        raise KakusanError(
            f"eta {eta:g} is not heeded by the scheduler {name} (leave eta out, or use the scheduler ddim)"
        )
