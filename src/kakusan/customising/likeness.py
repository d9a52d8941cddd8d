"""Images that show nearly the same: such as count as often as they are there, and teach no more than one."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

_SIDE = 16
CORRELATED = 0.98


def alike(images: Tensor) -> list[list[int]]:
    r"""Returns groups of images that nearly are the same: whose thumbnails of 16×16 pixels correlate by 0.98, whatever
    their brightness and contrast; so are two of which each is like a third.

    .. math:: r = \frac{\sum (a - \bar a)(b - \bar b)}{\sqrt{\sum (a - \bar a)^2 \sum (b - \bar b)^2}}

    Args:
        images: Bytes, shape (N, C, H, W).
    """
    small = adaptive_avg_pool2d(images.float(), _SIDE).flatten(1)
    centred = small - small.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-3)
    near = (unit @ unit.T >= CORRELATED).numpy()
    count, group = connected_components(near, directed=False)
    found = [np.flatnonzero(group == number).tolist() for number in range(count)]
    return [those for those in found if len(those) > 1]
