"""The seam between what is learned and how: a task says the first, the engine does the second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from kakusan.data.batches import Batch
from kakusan.sampling import Progress
from kakusan.seeds import Draws


class Task(Protocol):
    """Something to be learned.

    Attributes:
        network: What is trained. The engine puts its wrapped self (compiled, distributed) in its place, so a task calls
            ``self.network`` and never a method of it.
        separable: Whether an image's loss depends on no other image of its batch, so that a batch may be learned from
            in parts.
        together: How many images a held-out loss judges by each other, where it does; 0 where each is judged alone.
    """

    network: nn.Module
    separable: bool
    together: int

    def groups(self) -> list[dict[str, Any]]:
        """Returns the optimizer's groups of parameters; a group may override any option of AdamW. Its own ``lr`` is its
        rate at the peak: warm-up, decay and rollbacks scale it as they scale that of the settings."""

    def losses(self, batch: Batch, draws: Draws) -> Tensor:
        """Returns the loss of every image, shape (B,), on the batch's device; bfloat16 is the engine's to ask for."""

    def levels(self) -> list[float]:
        """Returns the edges, K + 1 log-SNRs, of the noise levels by which held-out losses are told; empty for none."""

    def held_out(self, network: nn.Module, batch: Batch, seed: int, numbers: Sequence[int]) -> Tensor:
        """Returns the loss of every image at every level, shape (B, K), or (B, 1) without levels.

        Args:
            network: In place of the task's own.
            batch: Images that are not learned from.
            seed: The seed of the run.
            numbers: Which image each is: its draws follow from that and the seed, whatever the batch.
        """

    def preview(self, network: nn.Module, progress: Progress | None = None) -> Tensor | None:
        """Returns a picture that shows how far ``network`` has come, shape (C, H, W), always of the same seeds, and
        large enough for people. Who draws it slowly calls ``progress`` on the way."""


def decay_matrices_only(network: nn.Module) -> list[dict[str, Any]]:
    """Returns two groups: matrices and kernels, and all vectors, from which weight decay is kept."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
