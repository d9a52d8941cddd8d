"""How far pictures look from others that they belong to: by LPIPS where its weights are at hand, else by a judge."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from kakusan.devices import resolve
from kakusan.evaluation.average import average
from kakusan.evaluation.judge import Judge
from kakusan.perception import BACKBONES, Lpips
from kakusan.results import Value
from kakusan.weights import find

_KIND = "lpips-alex"


class Likeness:
    """The mean distance of pictures from their partners; nothing is downloaded.

    The judge's is the distance of features, over that of partners who were shuffled: 0 for the same picture, 1 for two
    that have nothing to do with each other.

    Args:
        judge: Whose features tell where LPIPS is not at hand.
        device: Where to compute.
        directory: A place with pretrained weights of the user's own.

    Attributes:
        name: What it is called in a protocol.
    """

    def __init__(self, judge: Judge, device: str = "auto", directory: Path | None = None) -> None:
        self._judge = judge
        self._lpips: Lpips | None = None
        if find_spec("torchmetrics") is not None and find(BACKBONES[_KIND], directory) is not None:
            self._lpips = Lpips(_KIND, directory, device=resolve(device), offline=True, show=False)
        self.name = judge.name if self._lpips is None else self._lpips.name

    def __call__(self, images: Tensor, others: Tensor) -> Value:
        """Returns the mean over pairs, both uint8, shape (n, C, H, W), n ≥ 2, with its interval."""
        if self._lpips is not None:
            each = self._lpips(images, others).double()
        else:
            ours, theirs = (self._judge.features(it).double() for it in (images, others))
            apart = torch.stack([(ours - theirs.roll(by, 0)).norm(dim=1) for by in range(1, len(ours))]).mean()
            each = (ours - theirs).norm(dim=1) / apart
        return average(each)
