"""What a model is conditioned on, one entry an image, and the null condition of classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NULL_LABEL = -1


@dataclass(frozen=True)
class Condition:
    """The conditions of a batch.

    Attributes:
        labels: Class of every image, int64, shape (B,). ``-1`` is the null class: no condition at all.
    """

    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Condition:
        return Condition(labels=self.labels[index])

    def null(self) -> Condition:
        """Returns as many null conditions as there are conditions here."""
        return Condition(labels=torch.full_like(self.labels, NULL_LABEL))

    def drop(self, mask: Tensor) -> Condition:
        """Returns the conditions with those nulled where ``mask``, bool of shape (B,), is true."""
        return Condition(labels=self.labels.masked_fill(mask.to(self.labels.device), NULL_LABEL))

    def to(self, device: torch.device | str) -> Condition:
        """Returns the conditions on another device."""
        return Condition(labels=self.labels.to(device))

    @staticmethod
    def cat(conditions: Sequence[Condition]) -> Condition:
        """Joins batches of conditions along the batch."""
        return Condition(labels=torch.cat([condition.labels for condition in conditions]))
