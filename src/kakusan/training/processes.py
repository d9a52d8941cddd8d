"""The processes that train together, one alone among them: who they are, what they agree on, which share each takes."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from kakusan.devices import resolve
from kakusan.errors import KakusanError

Choice = TypeVar("Choice")
_PATIENCE = timedelta(days=1)  # while one draws, the others wait; where one dies, its launcher ends them


class Processes:
    """This process alone, or those that a launcher started, by :meth:`launched`.

    Args:
        device: This process's.
        count: How many there are.
        index: Which of them this is, from 0.

    Attributes:
        device, count, index: As given.
    """

    def __init__(self, device: torch.device, count: int = 1, index: int = 0) -> None:
        self.device, self.count, self.index = device, count, index
        # Votes go from host to host: through the devices they would cost a wait for them at every step.
        self._hosts: Any = distributed.new_group(backend="gloo", timeout=_PATIENCE) if count > 1 else None

    @classmethod
    def launched(cls, device: str) -> Processes:
        """Returns what a launcher (``torchrun``, ``accelerate launch``) started; without one, this process alone.

        Every process that it started must call it.

        Args:
            device: Where to compute, by name; each process of several on GPUs takes that of its number on its machine.

        Raises:
            KakusanError: The device is not there.
        """
        there = resolve(device)
        if not distributed.is_initialized():
            if int(os.environ.get("WORLD_SIZE", "1")) == 1:
                return cls(there)
            distributed.init_process_group("nccl" if there.type == "cuda" else "gloo", timeout=_PATIENCE)
            atexit.register(distributed.destroy_process_group)
        if there.type == "cuda":
            there = resolve(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
            torch.cuda.set_device(there)
        return cls(there, distributed.get_world_size(), distributed.get_rank())

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
        if self.count == 1:
            return network
        return DistributedDataParallel(network, device_ids=[self.device] if self.device.type == "cuda" else None)

    def mean(self, value: Tensor) -> Tensor:
        """Returns the mean of what all processes give."""
        return self.sum(value) / self.count

    def sum(self, value: Tensor) -> Tensor:
        """Returns the sum of what all processes give."""
        if self.count == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total

    def any(self, vote: bool) -> bool:
        """Whether any process votes so: one that went on alone would wait for the others for ever."""
        if self._hosts is None:
            return vote
        votes = torch.tensor(float(vote))
        distributed.all_reduce(votes, group=self._hosts)
        return votes.item() > 0

    def agree(self, choice: Choice) -> Choice:
        """Returns what the first process has chosen."""
        choices = [choice]
        if self._hosts is not None:
            distributed.broadcast_object_list(choices, group=self._hosts)
        return choices[0]

    def once(self, make: Callable[[], Choice]) -> Choice:
        """Returns what the first process makes, for which the others wait."""
        return self.agree(make() if self.first else None)  # type: ignore[return-value]

    def wait(self) -> None:
        """Waits until all are here."""
        if self._hosts is not None:
            distributed.barrier(group=self._hosts)
