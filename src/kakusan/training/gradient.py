"""The gradient of a batch, at once or in parts that fit into memory; and what fits, where it did not."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from kakusan.data.batches import Batch
from kakusan.devices import is_out_of_memory
from kakusan.errors import KakusanError
from kakusan.seeds import Draws
from kakusan.training.precision import Precision
from kakusan.training.task import Task


def gradient(
    task: Task, batch: Batch, draws: Draws, microbatch: int | None, precision: Precision, first: bool = False
) -> Tensor:
    """Adds the gradient of the mean loss to that of the network's weights, and returns the loss, shape ().

    Args:
        task: What is learned; its network may be wrapped, and then shares the gradient with the last part.
        batch: This process's share of the images.
        draws: Its share of the randomness.
        microbatch: Images at a time; None takes all of them at once. The gradient is the same but for rounding.
        precision: In which numbers.
        first: Whether the optimizer has no moments yet: what it will want after the gradient is kept free for it.

    Raises:
        KakusanError: So many images at a time do not fit into memory; it names how many do.
    """
    size = min(microbatch or len(batch), len(batch))
    try:
        room = _room_for_moments(task, first)
        loss = _in_parts(task, batch, draws, size, precision)
        room.clear()
        return loss
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Out here nothing holds the error, and what it holds: the frames that hold the activations.
    raise KakusanError(_what_fits(task, batch, draws, size, precision, first))


def _room_for_moments(task: Task, first: bool) -> list[Tensor]:
    """Returns what takes as much memory as the two moments of every weight, where the optimizer has none yet."""
    return [torch.empty_like(weight) for weight in task.network.parameters() for _ in range(2)] if first else []


def _in_parts(task: Task, batch: Batch, draws: Draws, size: int, precision: Precision) -> Tensor:
    loss = torch.zeros((), device=batch.images.device)
    for first in range(0, len(batch), size):
        part = slice(first, first + size)
        last = first + size >= len(batch)
        with nullcontext() if last else _alone(task.network):
            loss = loss + _part(task, batch[part], draws.part(part), precision, len(batch))
    return loss


def _part(task: Task, batch: Batch, draws: Draws, precision: Precision, images: int) -> Tensor:
    with precision.autocast():
        loss = task.losses(batch, draws).mean() * (len(batch) / images)
    precision.backward(loss)
    return loss.detach()


def _alone(network: nn.Module) -> nullcontext[None]:
    """Returns a context in which a wrapped network keeps its gradient to itself."""
    without: nullcontext[None] = getattr(network, "no_sync", nullcontext)()
    return without


def _what_fits(task: Task, batch: Batch, draws: Draws, size: int, precision: Precision, first: bool) -> str:
    device, parameters = batch.images.device, list(task.network.parameters())
    tried = f"out of memory on {device} with {size} images at a time"
    room: list[Tensor] = []
    while size > 1:
        size //= 2
        _forget(parameters, device)
        try:
            room = _room_for_moments(task, first)
            with _alone(task.network):
                _part(task, batch[:size], draws.part(slice(size)), precision, len(batch))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        else:
            if task.separable:
                return f"{tried}: {size} fit, with the same result (set training.microbatch to {size})"
            return f"{tried}: {size} fit (let training.batch_size be {size} a process)"
        finally:
            room.clear()
            _forget(parameters, device)
    return f"{tried}, and not even with one (set training.activation_checkpointing or a smaller network)"


def _forget(parameters: list[nn.Parameter], device: torch.device) -> None:
    for parameter in parameters:
        parameter.grad = None
    if device.type == "cuda":
        torch.cuda.empty_cache()
