"""What a report tells of a run: everything that its sections show, gathered by who may draw and measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from kakusan.config import Config
from kakusan.reporting.anatomy import Network
from kakusan.reporting.shown import Mixture, Moment, Neighbours, Reconstructed
from kakusan.results import Judgement, Measured


@dataclass(frozen=True)
class Story:
    """What is known of a run. What is empty or None has no section.

    Attributes:
        name: The run.
        settings: Its configuration.
        images: Images seen so far.
        total_images: Images at its end; 0 where that is not known.
        parameters: Of the network; 0 where no checkpoint says it.
        network: Its anatomy; None where no checkpoint says it.
        class_names: The K classes; empty without.
        judgement: What its samples are like; None where nobody judged them.
        measured: What a study measured of it.
        lines: The lines of ``metrics.jsonl``.
        original: The first picture it learns from, values in [-1, 1], (C, H, W).
        undrawn: Why there are no samples: ``"no_checkpoint"``, ``"damaged"`` or ``"own_network"``; empty with them.
        drawn_after: Images that the weights had seen that drew the samples.
        samples: Values in [-1, 1], (R, columns, C, H, W), a row each of the first R classes, or of R prompts.
        prompts: What the rows of samples were told; empty where nothing was.
        recognised: Share of such samples that is recognised as what was asked for; None where nobody judged them.
        walk: How one sample emerges, from noise to data.
        guided: Values in [-1, 1], (scales, columns, C, H, W): samples of the same seeds at every scale of guidance.
        neighbours: The training images nearest to the samples; None where the data are not to be had.
        mixture: Two modes on a line, noised and walked back.
        reconstructed: Of an autoencoder, images that went through their latents.
    """

    name: str
    settings: Config
    images: int
    total_images: int = 0
    parameters: int = 0
    network: Network | None = None
    class_names: tuple[str, ...] = ()
    judgement: Judgement | None = None
    measured: Measured = field(default_factory=Measured)
    lines: Sequence[Mapping[str, Any]] = ()
    original: Tensor | None = None
    undrawn: str = ""
    drawn_after: int = 0
    samples: Tensor | None = None
    prompts: tuple[str, ...] = ()
    recognised: float | None = None
    walk: Sequence[Moment] = ()
    guided: Tensor | None = None
    neighbours: Neighbours | None = None
    mixture: Mixture | None = None
    reconstructed: Reconstructed | None = None
