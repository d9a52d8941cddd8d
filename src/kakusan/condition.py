"""What a model is conditioned on, one entry an image, and the null condition of classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from kakusan.errors import KakusanError, counted

NULL_LABEL = -1
NULL_WORD = -1

Labels = Sequence[int | str] | Tensor | int | str
"""Classes that a person asks for, by number or by name: one an image, or one for all."""


@dataclass(frozen=True)
class Condition:
    """The conditions of a batch.

    Attributes:
        labels: Class of every image, int64, shape (B,). ``-1`` is the null class: no condition at all.
        words: The words of every image's caption, by number, int64, shape (B, L); a row of ``-1`` is the null caption.
        tokens: What a text encoder made of such words, shape (B, L, D).
        repeats: How often the batch holds the same images, one after the other: twice under guidance.

    Raises:
        KakusanError: There is none of them, or they are not of as many images.
    """

    labels: Tensor | None = None
    words: Tensor | None = None
    tokens: Tensor | None = None
    repeats: int = 1

    def __post_init__(self) -> None:
        counts = {name: len(it) for name, it in self._given.items()}
        if len(set(counts.values())) != 1:
            told = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing at all"
            raise KakusanError(f"a condition has labels, words or tokens, each of as many images, not {told}")

    def __len__(self) -> int:
        return len(next(iter(self._given.values())))

    def __getitem__(self, index: Tensor | slice) -> Condition:
        return self._each(lambda given: given[index])

    @property
    def _given(self) -> dict[str, Tensor]:
        given = {"labels": self.labels, "words": self.words, "tokens": self.tokens}
        return {name: it for name, it in given.items() if it is not None}

    def _each(self, change: Callable[[Tensor], Tensor]) -> Condition:
        return replace(self, repeats=1, **{name: change(it) for name, it in self._given.items()})

    def labels_or(self, null: int) -> Tensor:
        """Returns the labels, with ``null`` in the place of the null class.

        Raises:
            KakusanError: There are none.
        """
        if self.labels is None:
            raise KakusanError(f"this network is conditioned on labels, and is given {' and '.join(self._given)}")
        return self.labels.masked_fill(self.labels == NULL_LABEL, null)

    def null(self) -> Condition:
        """Returns as many null conditions as there are conditions here.

        Raises:
            KakusanError: They are tokens, and what reads no caption knows what those of the null caption are.
        """
        return self.drop(torch.ones(len(self), dtype=torch.bool))

    def drop(self, mask: Tensor) -> Condition:
        """Returns the conditions with those nulled where ``mask``, bool of shape (B,), is true.

        Raises:
            KakusanError: As :meth:`null`.
        """
        if self.tokens is not None:
            raise KakusanError("tokens have no null of their own: give those of the null caption as unconditional=")

        def nulled(given: Tensor) -> Tensor:
            return given.masked_fill(mask.to(given.device).view(-1, *[1] * (given.ndim - 1)), NULL_LABEL)

        return self._each(nulled)

    def to(self, device: torch.device | str) -> Condition:
        """Returns the conditions on another device."""
        return replace(self._each(lambda given: given.to(device)), repeats=self.repeats)

    @staticmethod
    def cat(conditions: Sequence[Condition]) -> Condition:
        """Joins conditions of the same images along the batch."""
        kinds = [condition._given for condition in conditions]
        joined = {name: torch.cat([kind[name] for kind in kinds]) for name in kinds[0]}
        return replace(conditions[0], repeats=len(kinds), **joined)


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
