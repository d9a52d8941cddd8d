"""The loss on images kept out of training, with noise that is always the same: so its curve is smooth, and says where a
model is weak. It costs the memory of one batch at most."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kakusan.data.batches import Batches, ImageBatches
from kakusan.data.parting import kept_out, parted
from kakusan.errors import KakusanError
from kakusan.training.precision import Precision
from kakusan.training.processes import Processes
from kakusan.training.task import Task


class Validation:
    """Measures what a task makes of images that it does not learn from.

    Args:
        batches: Where images come from.
        indices: Which of its set are kept out, int64, shape (N,).
        seed: The seed of the run; the draws of the i-th image follow from it and i.
        chunk: Images that a process sees at a time.
    """

    def __init__(self, batches: ImageBatches, indices: Tensor, seed: int, chunk: int) -> None:
        self._batches, self._indices, self._seed, self._chunk = batches, indices, seed, chunk

    def __len__(self) -> int:
        return len(self._indices)

    def beginning(self) -> Validation:
        """Returns the part of it that is measured at a time."""
        return Validation(self._batches, self._indices[: self._chunk], self._seed, self._chunk)

    @torch.no_grad()
    def measure(self, task: Task, network: nn.Module, processes: Processes, precision: Precision) -> dict[str, Any]:
        """Returns the mean loss, and that at each noise level with the levels' edges, if the task knows levels.

        Every process must call it: each computes its share.

        Args:
            task: What is learned.
            network: The weights to judge: the averaged ones, in evaluation mode.
            processes: Who shares the work.
            precision: In which numbers.
        """
        edges = task.levels()
        total = torch.zeros(max(1, len(edges) - 1), dtype=torch.float64)
        for numbers in self._share(task.together, processes):
            batch = self._batches.at(self._indices[list(numbers)], processes.device)
            with precision.autocast():
                losses = task.held_out(network, batch, self._seed, numbers)
            total += losses.cpu().double().sum(0)
        means = (processes.sum(total.float().to(processes.device)) / len(self._indices)).tolist()
        mean = sum(means) / len(means)
        return {"held_out_loss": mean, **({"held_out_levels": means, "log_snr": edges} if edges else {})}

    def _share(self, together: int, processes: Processes) -> list[range]:
        """Returns the numbers of the images that a process judges at a time; such as are judged ``together`` are the
        same ones of any count of processes."""
        everything = range(len(self._indices))
        if together:
            groups = [everything[first : first + together] for first in range(0, len(everything), together)]
            return groups[processes.index :: processes.count]
        own = everything[processes.index :: processes.count]
        return [own[first : first + self._chunk] for first in range(0, len(own), self._chunk)]


def hold_out(batches: Batches, held_out: float, seed: int, chunk: int) -> tuple[Batches, Validation | None]:
    """Parts images into those to learn from and those to validate on, classes in proportion; by the seed alone.

    Args:
        batches: All of them.
        held_out: How many are kept out, or which share if below 1; 0 for none.
        seed: The seed of the run.
        chunk: Images that a process validates on at a time.

    Raises:
        KakusanError: None would be left to learn from, or they come from a loader, which has an order of its own.
    """
    if not held_out:
        return batches, None
    if not isinstance(batches, ImageBatches):
        raise KakusanError(
            "data.held_out needs images that can be told apart, not a data loader (set data.held_out to 0, or give a "
            "folder or an ImageSet)"
        )
    own = batches.own
    count = kept_out(held_out, len(own))
    if count >= len(own):
        raise KakusanError(
            f"data.held_out must be below the {len(own)} images there are, not {count} (--data.held_out 0.1 keeps a "
            "tenth of them, 0 none)"
        )
    labels = None if batches.labels is None else batches.labels[own]
    _, kept = parted(len(own), labels, count, seed)
    served = batches.numbers
    rest = batches.only(served[~torch.isin(served, own[kept])])
    return rest, Validation(rest, own[kept], seed, chunk)
