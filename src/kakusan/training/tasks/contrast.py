"""Telling which caption belongs to which picture: what a CLIP learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kakusan import pictures
from kakusan.collectives import gathered, rank
from kakusan.data.batches import Batch
from kakusan.devices import device_of, sent
from kakusan.matcher import Matcher
from kakusan.sampling import Progress
from kakusan.seeds import Draws
from kakusan.training.task import decay_matrices_only

_HOTTEST = math.log(100.0)  # beyond which the logarithm of the scale of the logits is not let
_SQUARE = 8  # pixels of a pair in a preview


class Contrast:
    r"""Trains both towers of a CLIP: of all captions of a batch, over all processes, the picture's own is to be told,
    and of all pictures the caption's own.

    .. math:: -\tfrac{1}{2} \ln \mathrm{softmax}_j(s\, u_i \cdot w_j)_i
              -\tfrac{1}{2} \ln \mathrm{softmax}_j(s\, w_i \cdot u_j)_i

    A caption that stands beside several pictures of the batch is right for each of them: such pairs do not count.

    Args:
        matcher: Its network is trained in place.
        shown: Pictures and captions of a preview.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, figure 3.
    """

    separable = False  # a pair is told from all others of its batch
    together = 64

    def __init__(self, matcher: Matcher, shown: Batch) -> None:
        self.network: nn.Module = matcher.network
        self._log_scale = matcher.network.log_scale
        self._shown = shown

    def groups(self) -> list[dict[str, Any]]:
        return decay_matrices_only(self.network)

    def losses(self, batch: Batch, draws: Draws) -> Tensor:
        assert batch.words is not None, "a CLIP is trained on captions only"
        with torch.no_grad():  # in place: within the formula, what a step has moved beyond would have no gradient back
            self._log_scale.clamp_(max=_HOTTEST)
        images, words, scale = self.network(batch.images, batch.words)
        others = gathered(images), gathered(words), gathered(batch.words)
        return _told_apart(images, words, scale, batch.words, others, rank() * len(images))

    def levels(self) -> list[float]:
        return []

    def held_out(self, network: nn.Module, batch: Batch, seed: int, numbers: Sequence[int]) -> Tensor:
        """Among as many at a time, however many processes there are."""
        assert batch.words is not None, "a CLIP is judged on captions only"
        images, words, scale = network(batch.images, batch.words)
        return _told_apart(images, words, scale, batch.words, (images, words, batch.words), 0)[:, None]

    @torch.no_grad()
    def preview(self, network: nn.Module, progress: Progress | None = None) -> Tensor | None:
        """Draws how well every picture, a row, agrees with every caption, a column: brighter is better, and on the
        diagonal they belong together."""
        if self._shown.words is None or not len(self._shown):
            return None
        device = device_of(network)
        images, words, _ = network(sent(self._shown.images, device), sent(self._shown.words, device))
        cosines = (images @ words.T).float().cpu()
        low, high = cosines.aminmax()
        bright = 2 * (cosines - low) / (high - low).clamp(min=1e-6) - 1
        return pictures.legible(bright.repeat_interleave(_SQUARE, 0).repeat_interleave(_SQUARE, 1)[None], _SQUARE)


def _told_apart(
    images: Tensor, words: Tensor, scale: Tensor, captions: Tensor, others: tuple[Tensor, Tensor, Tensor], first: int
) -> Tensor:
    """Returns the loss of every pair, shape (B,), among all the ``others``, of which it is the ``first`` and those
    after."""
    other_images, other_words, other_captions = others
    own = torch.arange(len(images), device=images.device) + first
    same = (captions[:, None] == other_captions[None]).all(2)
    same[torch.arange(len(own), device=own.device), own] = False
    sides = (scale * images @ other_words.T, scale * words @ other_images.T)
    costs = [cross_entropy(it.float().masked_fill(same, -torch.inf), own, reduction="none") for it in sides]
    return torch.stack(costs).mean(0)
