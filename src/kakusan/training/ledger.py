"""The books of a run: loss per line and per epoch, and speed. A step that was skipped counts in no mean."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Ledger:
    """Collects the losses of steps without waiting for the device, until somebody asks for a line.

    Attributes:
        batch_size: Images a step.
        epoch_images: Images an epoch; None where nobody knows, and there are no lines of epochs.
        epoch_sum, epoch_steps: Loss of the epoch in hand, summed over its steps.
        data_seconds: Time spent waiting for batches since the last line.
    """

    batch_size: int
    epoch_images: int | None
    epoch_sum: float = 0.0
    epoch_steps: int = 0
    data_seconds: float = 0.0
    _losses: list[Tensor] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)

    def add(self, loss: Tensor) -> None:
        """Takes the mean loss of a step, shape (); NaN for one that was skipped."""
        self._losses.append(loss.detach())

    def take(self) -> Tensor:
        """Returns the losses since the last time, shape (K,), and forgets them."""
        losses = torch.stack(self._losses) if self._losses else torch.empty(0)
        self._losses.clear()
        return losses

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint shall say of it."""
        return {"epoch_sum": self.epoch_sum, "epoch_steps": self.epoch_steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what a checkpoint says."""
        self.epoch_sum, self.epoch_steps = state["epoch_sum"], state["epoch_steps"]

    def restart(self) -> None:
        """Forgets the steps since the last line, and begins to measure time."""
        self._losses.clear()
        self._since, self.data_seconds = time.perf_counter(), 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context whose time is none of training's: pictures are drawn in it, and checkpoints saved."""
        started = time.perf_counter()
        yield
        self._since += time.perf_counter() - started

    def lines(self, losses: list[float], step: int, **numbers: float) -> list[dict[str, Any]]:
        """Returns the lines to record after ``step`` steps: one on the last of them, and one an epoch that ended.

        Args:
            losses: Loss of each of the latest steps; where all were skipped, the line has none.
            step: Steps done.
            **numbers: What else belongs on the line.
        """
        now = time.perf_counter()
        seconds = max(now - self._since, 1e-9)
        images = step * self.batch_size
        counted = [loss for loss in losses if not math.isnan(loss)]
        line = {
            "step": step,
            "images": images,
            **({"loss": math.fsum(counted) / len(counted)} if counted else {}),
            **numbers,
            "images_per_second": round(len(losses) * self.batch_size / seconds, 1),
            "data_wait": round(self.data_seconds / seconds, 4),
        }
        self._since, self.data_seconds = now, 0.0
        return [*self._epochs(losses, step - len(losses)), line]

    def _epochs(self, losses: list[float], step: int) -> list[dict[str, Any]]:
        ended: list[dict[str, Any]] = []
        if self.epoch_images is None:
            return ended
        for loss in losses:
            before, step = step * self.batch_size // self.epoch_images, step + 1
            if not math.isnan(loss):
                self.epoch_sum += loss
                self.epoch_steps += 1
            after = step * self.batch_size // self.epoch_images
            if after > before:
                if self.epoch_steps:
                    mean = self.epoch_sum / self.epoch_steps
                    ended.append({"step": step, "images": step * self.batch_size, "epoch": after, "epoch_loss": mean})
                self.epoch_sum, self.epoch_steps = 0.0, 0
        return ended
