"""Telling the classes of small images apart: the judge of samples where no pretrained one is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kakusan.data.batches import Batch
from kakusan.sampling import Progress
from kakusan.seeds import Draws
from kakusan.training.task import decay_matrices_only


class Classification:
    """Trains a network whose output is one logit a class.

    Args:
        network: Maps images (B, C, H, W) to logits (B, K).
    """

    separable = True
    together = 0

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def groups(self) -> list[dict[str, Any]]:
        return decay_matrices_only(self.network)

    def losses(self, batch: Batch, draws: Draws) -> Tensor:
        assert batch.labels is not None, "a classifier is trained on labelled data only"
        return cross_entropy(self.network(batch.images), batch.labels, reduction="none")

    def levels(self) -> list[float]:
        return []

    def held_out(self, network: nn.Module, batch: Batch, seed: int, numbers: Sequence[int]) -> Tensor:
        assert batch.labels is not None, "a classifier is judged on labelled data only"
        return cross_entropy(network(batch.images), batch.labels, reduction="none")[:, None]

    def preview(self, network: nn.Module, progress: Progress | None = None) -> None:
        """A classifier draws no pictures."""
