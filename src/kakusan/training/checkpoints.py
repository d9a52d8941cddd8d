"""Saving a moment of training, and going on from it exactly.

Nothing random is saved: every draw follows from the seed and the step.
"""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kakusan.errors import KakusanError
from kakusan.files import atomic_path, atomic_write, remove_whole
from kakusan.runs import FORMAT, Checkpoint, Run
from kakusan.tensors import load_weights, pack, read_tensors

_OPTIMIZER, _STATE, _SUMS = "optimizer.safetensors", "state.json", "crc32"


def save(
    run: Run, *, network: nn.Module, average: nn.Module, optimizer: Optimizer, state: dict[str, Any], keep: int
) -> Checkpoint:
    """Writes a checkpoint, whole or not at all, and then removes what it supersedes: all but the latest ``keep`` and
    that of the best held-out loss.

    Args:
        run: Where to.
        network: The plain weights.
        average: The averaged ones.
        optimizer: Its moments.
        state: Counters and facts as JSON; ``state["images"]`` names the checkpoint,
            ``state["held_out_loss"]``, if it is there, is its loss.
        keep: How many to keep, at least 1.

    Raises:
        KakusanError: The disk refuses it; the earlier checkpoints are untouched.
    """
    path = run.path / "checkpoints" / f"{state['images']:07d}"
    with atomic_path(path) as temporary:
        temporary.mkdir()
        new, sums = Checkpoint(temporary), {}
        for file, tensors in (
            (new.weights_path("raw"), network.state_dict()),
            (new.weights_path("ema"), average.state_dict()),
            (temporary / _OPTIMIZER, _flatten(optimizer)),
        ):
            content = pack(tensors)
            file.write_bytes(content)
            sums[file.name] = crc32(content)
        (temporary / _STATE).write_text(as_json({**state, _SUMS: sums}), encoding="utf-8")
        remove_whole(path)  # of a time that training went back from, if it could not be removed then
    run.settle()
    there = run.checkpoints()
    best = min(there, key=_held_out_loss)
    for old in there[:-keep]:
        if old != best or math.isinf(_held_out_loss(best)):
            remove_whole(old.path)
    return Checkpoint(path)


def restore(checkpoint: Checkpoint, *, network: nn.Module, average: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Loads all of a checkpoint, and returns its state.

    Raises:
        KakusanError: Part of it is missing, damaged, of another architecture, or of a later version.
    """
    state = checkpoint.state()  # first, for it refuses what a later version wrote
    sums = state.get(_SUMS, {})  # or training would go on from bits that have changed without a word
    raw, ema, moments = checkpoint.weights_path("raw"), checkpoint.weights_path("ema"), checkpoint.path / _OPTIMIZER
    load_weights(network, raw, sums.get(raw.name))
    load_weights(average, ema, sums.get(ema.name))
    _unflatten(optimizer, read_tensors(moments, sums.get(moments.name)))
    return state


def written_by() -> dict[str, Any]:
    """Returns what a state says of who wrote it."""
    return {"format": FORMAT, "version": version("kakusan")}


def last_at(run: Run, step: int) -> Checkpoint | None:
    """Returns the last checkpoint saved after no more than so many steps."""
    return next((there for there in reversed(run.checkpoints()) if there.state()["step"] <= step), None)


def return_to(run: Run, checkpoint: Checkpoint, changes: dict[str, Any]) -> None:
    """Makes a checkpoint the last one, its state changed, so that even who is killed now goes on from there."""
    for later in reversed(run.checkpoints()):
        if later.images > checkpoint.images:
            remove_whole(later.path)
    atomic_write(checkpoint.path / _STATE, as_json(checkpoint.state() | changes))


def _held_out_loss(checkpoint: Checkpoint) -> float:
    try:
        loss = float(checkpoint.state().get("held_out_loss", math.inf))
    except KakusanError:  # a damaged one is no reason to stop
        return math.inf
    return loss if math.isfinite(loss) else math.inf


def as_json(state: dict[str, Any]) -> str:
    """Returns the content of ``state.json``."""
    return json.dumps(state, indent=2) + "\n"


def _flatten(optimizer: Optimizer) -> dict[str, Tensor]:
    """Returns the optimizer's moments by name: ``"<parameter's number>.<moment>"``."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": moment for number, moments in state.items() for name, moment in moments.items()}


def _unflatten(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    # A weight that no loss ever reached has no moments.
    if state and max(state) >= len(parameters):
        raise KakusanError(f"the checkpoint's optimizer has {max(state) + 1} parameters, the network {len(parameters)}")
    for index, moments in state.items():
        for name, moment in moments.items():
            parameter = parameters[index]
            if moment.ndim and moment.shape != parameter.shape:
                raise KakusanError(
                    f"the checkpoint's optimizer has a weight of shape {tuple(moment.shape)}, where the network has "
                    f"one of {tuple(parameter.shape)}"
                )
            if moment.shape == parameter.shape:  # laid out as the weight is, which fused kernels take for granted
                moments[name] = torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
