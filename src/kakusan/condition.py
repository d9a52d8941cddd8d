"""What a model is conditioned on, one entry an image, and the null condition of classifier-free guidance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from kakusan.errors import KakusanError, counted

NULL_LABEL = -1

Labels = Sequence[int | str] | Tensor | int | str
"""Classes that a person asks for, by number or by name: one an image, or one for all."""


@dataclass(frozen=True)
class Condition:
    """The conditions of a batch.

    Attributes:
        labels: Class of every image, int64, shape (B,). ``-1`` is the null class: no condition at all.
        repeats: How often the batch holds the same images, one after the other: twice under guidance.
    """

    labels: Tensor
    repeats: int = 1

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
        return replace(self, labels=self.labels.to(device))

    @staticmethod
    def cat(conditions: Sequence[Condition]) -> Condition:
        """Joins conditions of the same images along the batch."""
        return Condition(torch.cat([condition.labels for condition in conditions]), repeats=len(conditions))


def one_an_image(labels: Labels, n: int) -> list[int | str]:
    """Returns ``n`` labels, each a whole number or a name, from one an image or one for all.

    Raises:
        KakusanError: Some are neither, or there are not ``n`` of them.
    """
    given: Any = labels.tolist() if hasattr(labels, "tolist") else labels  # of tensors and arrays
    each = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given] * n
    for label in each:
        if isinstance(label, bool) or not isinstance(label, (Integral, str)):
            raise KakusanError(
                f"labels are whole numbers or names of classes, one an image or one for all, not {label!r}"
            )
    if len(each) != n:
        need = f"{counted(n, 'image')} need{'s' if n == 1 else ''} {counted(n, 'label')}"
        raise KakusanError(f"{need}, not {len(each)} (give one label an image, or one for all)")
    return each
