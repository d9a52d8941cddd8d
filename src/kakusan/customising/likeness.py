"""Images that show nearly the same: such as count as often as they are there, and teach no more than one."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

_SIDE = 16
CORRELATED = 0.98


def alike(images: Tensor) -> list[list[int]]:
    r"""Returns groups of images that nearly are the same: whose thumbnails of 16×16 pixels correlate by 0.98, whatever
    their brightness and contrast.

    .. math:: r = \frac{\sum (a - \bar a)(b - \bar b)}{\sqrt{\sum (a - \bar a)^2 \sum (b - \bar b)^2}}

    Args:
        images: Bytes, shape (N, C, H, W).
    """
    small = adaptive_avg_pool2d(images.float(), _SIDE).flatten(1)
    centred = small - small.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-3)
    near = unit @ unit.T >= CORRELATED
    groups: dict[int, list[int]] = {}
    for number in range(len(images)):
        groups.setdefault(int(near[number].int().argmax()) if near[number].any() else number, []).append(number)
    return [group for group in groups.values() if len(group) > 1]
