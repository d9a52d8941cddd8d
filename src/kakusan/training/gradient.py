"""The gradient of a batch, at once or in parts that fit into memory; and what fits, where it did not."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from kakusan.data.batches import Batch
from kakusan.errors import KakusanError
from kakusan.seeds import Draws
from kakusan.training.precision import Precision
from kakusan.training.task import Task


def gradient(task: Task, batch: Batch, draws: Draws, microbatch: int | None, precision: Precision) -> Tensor:
    """Adds the gradient of the mean loss to that of the network's weights, and returns the loss, shape ().

    Args:
        task: What is learned; its network may be wrapped, and then shares the gradient with the last part.
        batch: This process's share of the images.
        draws: Its share of the randomness.
        microbatch: Images at a time; None takes all of them at once. The gradient is the same but for rounding.
        precision: In which numbers.

    Raises:
        KakusanError: So many images at a time do not fit into memory; it names how many do.
    """
    size = min(microbatch or len(batch), len(batch))
    try:
        return _in_parts(task, batch, draws, size, precision)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
    # Out here nothing holds the error, and what it holds: the frames that hold the activations.
    raise KakusanError(_what_fits(task, batch, draws, size, precision))


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


def _what_fits(task: Task, batch: Batch, draws: Draws, size: int, precision: Precision) -> str:
    device, parameters = batch.images.device, list(task.network.parameters())
    tried = f"out of memory on {device} with {size} images at a time"
    moments: list[Tensor] = []
    while size > 1:
        size //= 2
        _forget(parameters, device)
        try:
            # The optimizer will want its moments beside; before the first step they are not there yet.
            moments = [torch.empty_like(parameter) for parameter in parameters for _ in range(2)]
            with _alone(task.network):
                _part(task, batch[:size], draws.part(slice(size)), precision, len(batch))
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
        else:
            return f"{tried}: {size} fit, with the same result (set training.microbatch to {size})"
        finally:
            moments.clear()
            _forget(parameters, device)
    return f"{tried}, and not even with one (set training.activation_checkpointing or a smaller network)"


def _forget(parameters: list[nn.Parameter], device: torch.device) -> None:
    for parameter in parameters:
        parameter.grad = None
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    told = ("out of memory", "not enough memory", "can't allocate memory")  # CUDA and MPS, and the CPU in two ways
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in told)
