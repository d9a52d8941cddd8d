"""The loss of training, per step and per epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from kakusan.reporting.axes import from_zero, logarithmic
from kakusan.reporting.canvas import ACCENT, QUIET, panel
from kakusan.reporting.html import Figure, Section
from kakusan.reporting.language import Language


def section(say: Language, lines: Sequence[Mapping[str, Any]]) -> Section | None:
    """Shows the losses in the ``lines`` of ``metrics.jsonl``."""
    images, losses = mean_losses(lines)
    if not losses:
        return None
    title = _title(say, images[-1], losses)
    figure = Figure(
        title=title,
        content=curve(say, lines),
        caption=_caption(say, images, losses) + _wait(say, lines),
        alt=say("loss.alt", title=title),
    )
    return Section("loss", say("loss.heading"), figure)


def mean_losses(lines: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[float]]:
    """Returns images seen and mean losses: of epochs, or of steps where not even two epochs ended."""
    images, losses = _finite(lines, "epoch_loss")
    return (images, losses) if len(losses) > 1 else _finite(lines, "loss")


def curve(say: Language, lines: Sequence[Mapping[str, Any]]) -> Markup:
    """Draws the loss against images seen: every line faintly, the means of epochs on top.

    The axis of losses is logarithmic where they are positive and span more than a factor of three.
    """
    images, losses = _finite(lines, "loss")
    epoch_images, epoch_losses = _finite(lines, "epoch_loss")

    def draw(axes: Axes) -> None:
        steps, epochs = say("loss.steps"), say("loss.epochs")
        axes.plot(images, losses, _marker(losses), color=QUIET, linewidth=0.9, alpha=0.7, label=steps)
        axes.plot(epoch_images, epoch_losses, _marker(epoch_losses), color=ACCENT, label=epochs)
        values = losses + epoch_losses
        if min(values) > 0 and max(values) > 3 * min(values):
            logarithmic(axes, subs=(1, 2, 5))
        axes.set(xlabel=say("loss.images"), ylabel=say("loss.loss"))
        from_zero(axes)
        axes.legend()

    return panel("loss", draw)


def _marker(values: Sequence[float]) -> str:
    """Returns how values are drawn: a line of a single one would not be seen."""
    return "-" if len(values) > 1 else "o"


def _title(say: Language, seen: int, losses: Sequence[float]) -> str:
    if len(losses) == 1:
        return say("loss.single", loss=losses[0], images=seen)
    way = "loss.fell" if losses[-1] < losses[0] else "loss.rose"
    return say(way, first=losses[0], last=losses[-1], images=seen)


def _caption(say: Language, images: Sequence[int], losses: Sequence[float]) -> str:
    """Says when half of the fall of the loss was over; where it did not fall, only what is drawn."""
    if losses[-1] >= losses[0]:
        return say("loss.caption")
    middle = (losses[0] + losses[-1]) / 2
    over = next(seen for seen, value in zip(images, losses, strict=True) if value <= middle)
    return say("loss.half", images=over)


def _wait(say: Language, lines: Sequence[Mapping[str, Any]]) -> str:
    """Says how long steps waited for images; nothing where no line tells."""
    waits = [line["data_wait"] for line in lines if isinstance(line.get("data_wait"), float)]
    return say("loss.wait", share=sum(waits) / len(waits)) if waits else ""


def _finite(lines: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    kept = [(line["images"], line[key]) for line in lines if math.isfinite(line.get(key, math.nan))]
    return [images for images, _ in kept], [loss for _, loss in kept]
