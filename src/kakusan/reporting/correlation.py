"""How alike two pictures are, and from when on they stay so."""

from collections.abc import Sequence

import torch
from torch import Tensor


def correlation(picture: Tensor, other: Tensor) -> float:
    """Returns the correlation of the values of two pictures of one shape; NaN where one of them is of a single grey."""
    pair = torch.stack([picture.flatten().double(), other.flatten().double()])
    return torch.corrcoef(pair)[0, 1].item()


def holds_from(held: Sequence[bool]) -> int | None:
    """Returns the first place from which on everything holds; None where the last does not."""
    place = len(held)
    while place > 0 and held[place - 1]:
        place -= 1
    return place if place < len(held) else None
