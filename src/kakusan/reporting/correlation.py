"""How alike two pictures are."""

import torch
from torch import Tensor


def correlation(picture: Tensor, other: Tensor) -> float:
    """Returns the correlation of the values of two pictures of one shape; NaN where one of them is of a single grey."""
    pair = torch.stack([picture.flatten().double(), other.flatten().double()])
    return torch.corrcoef(pair)[0, 1].item()
