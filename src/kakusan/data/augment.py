"""Changes that leave an image what it is, on whole batches where they lie."""

import torch
from torch import Tensor


def flip(images: Tensor, mask: Tensor) -> Tensor:
    """Returns ``images``, shape (B, C, H, W), mirrored left to right where ``mask``, bool of shape (B,), is true."""
    return torch.where(mask.to(images.device)[:, None, None, None], images.flip(-1), images)
