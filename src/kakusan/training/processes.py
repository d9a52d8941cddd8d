"""The processes that train together, one alone among them: who they are, what they agree on, which share each takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from kakusan.devices import resolve
from kakusan.errors import KakusanError

_PATIENCE = timedelta(days=1)  # while one draws, the others wait; where one dies, its launcher ends them


class Processes:
    """What a launcher (``torchrun``, ``accelerate launch``) started; without one, this process alone.

    Args:
        device: Where to compute, by name; each process of several takes the device that its launcher gave it.

    Raises:
        KakusanError: The device is not there.

    Attributes:
        device: This process's.
        count: How many there are.
        index: Which of them this is, from 0.
    """

    def __init__(self, device: str) -> None:
        self._accelerator = _accelerator(resolve(device))
        self.device: torch.device = self._accelerator.device
        self.count: int = self._accelerator.num_processes
        self.index: int = self._accelerator.process_index
        # Votes go from host to host: through the devices they would cost a wait for them at every step.
        self._hosts: Any = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE) if self.count > 1 else None

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.index == 0

    def share(self, batch_size: int) -> slice:
        """Returns this process's part of a batch.

        Raises:
            KakusanError: It cannot be shared evenly.
        """
        if batch_size % self.count:
            raise KakusanError(
                f"training.batch_size must divide evenly among {self.count} processes, which {batch_size} does not"
            )
        size = batch_size // self.count
        return slice(size * self.index, size * (self.index + 1))

    def wrap(self, network: nn.Module) -> nn.Module:
        """Returns the network with its gradients shared; nothing of it where this process is alone."""
        wrapped: nn.Module = self._accelerator.prepare(network)
        return wrapped

    def mean(self, value: Tensor) -> Tensor:
        """Returns the mean of what all processes give."""
        mean: Tensor = value if self.count == 1 else self._accelerator.reduce(value, "mean")
        return mean

    def sum(self, value: Tensor) -> Tensor:
        """Returns the sum of what all processes give."""
        total: Tensor = value if self.count == 1 else self._accelerator.reduce(value, "sum")
        return total

    def any(self, vote: bool) -> bool:
        """Whether any process votes so: one that went on alone would wait for the others for ever."""
        if self._hosts is None:
            return vote
        votes = torch.tensor(float(vote))
        torch.distributed.all_reduce(votes, group=self._hosts)
        return votes.item() > 0

    def agree(self, choice: str) -> str:
        """Returns what the first process has chosen."""
        choices = [choice]
        if self._hosts is not None:
            torch.distributed.broadcast_object_list(choices, group=self._hosts)
        return choices[0]

    def wait(self) -> None:
        """Waits until all are here."""
        self._accelerator.wait_for_everyone()


def _accelerator(device: torch.device) -> Accelerator:
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    # All accelerators of a process share one state, which refuses another device: a notebook may train twice. So it is
    # made anew and kept as a copy, for the next engine may come between two steps of this one: to train a judge, say.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    patience = InitProcessGroupKwargs(timeout=_PATIENCE)
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no", kwargs_handlers=[patience])
    accelerator.state.__dict__ = dict(accelerator.state.__dict__)
    return accelerator
