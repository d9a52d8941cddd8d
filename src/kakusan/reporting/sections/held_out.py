"""The loss on images kept out of training, over time and by noise level: where a model is weak, when it overfits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from pydantic import BaseModel, ValidationError

from kakusan.reporting.axes import from_zero
from kakusan.reporting.canvas import ACCENT, QUIET, panel
from kakusan.reporting.html import Figure, Section
from kakusan.reporting.language import Language


class HeldOut(BaseModel):
    """One line of ``metrics.jsonl`` on images held out.

    Attributes:
        images: Images seen.
        held_out_loss: The mean.
        held_out_levels: That at each noise level, the cleanest first; empty where the task knows no levels.
        log_snr: The edges of the levels, one more than there are levels.
    """

    images: int
    held_out_loss: float
    held_out_levels: tuple[float, ...] = ()
    log_snr: tuple[float, ...] = ()


def section(say: Language, lines: Sequence[Mapping[str, Any]]) -> Section | None:
    """Shows the held-out losses in the ``lines`` of ``metrics.jsonl``."""
    found = losses_in(lines)
    if not found:
        return None
    title = finding(say, found)
    content = curve(say, found) if len(found) > 1 else Markup()
    if found[-1].held_out_levels:
        content += levels(say, found)
    figure = Figure(title=title, content=content, caption=say("held_out.caption"), alt=say("held_out.alt", title=title))
    return Section("held-out", say("held_out.heading"), figure)


def losses_in(lines: Sequence[Mapping[str, Any]]) -> list[HeldOut]:
    """Returns the held-out losses among lines; what is damaged or no number is left out."""
    found = []
    for line in lines:
        if "held_out_loss" not in line:
            continue
        try:
            loss = HeldOut.model_validate(dict(line))
        except ValidationError:
            continue
        whole = not loss.held_out_levels or len(loss.log_snr) == len(loss.held_out_levels) + 1
        if whole and all(map(math.isfinite, (loss.held_out_loss, *loss.held_out_levels, *loss.log_snr))):
            found.append(loss)
    return found


def finding(say: Language, found: Sequence[HeldOut]) -> str:
    """Says how the loss went, and whether it has been better before; or, while it falls, where most of it is left."""
    first, last = found[0], found[-1]
    best = min(found, key=lambda loss: loss.held_out_loss)
    if len(found) == 1:
        return say("held_out.single", loss=last.held_out_loss, images=last.images)
    if best.held_out_loss < last.held_out_loss:
        return say("held_out.risen", best=best.held_out_loss, images=best.images, last=last.held_out_loss)
    if not last.held_out_levels:
        return say("held_out.fell", first=first.held_out_loss, last=last.held_out_loss)
    worst = max(range(len(last.held_out_levels)), key=last.held_out_levels.__getitem__)
    high, low = last.log_snr[worst : worst + 2]
    return say("held_out.left", first=first.held_out_loss, last=last.held_out_loss, low=low, high=high)


def curve(say: Language, found: Sequence[HeldOut]) -> Markup:
    """Draws the mean against images seen."""

    def draw(axes: Axes) -> None:
        axes.plot([loss.images for loss in found], [loss.held_out_loss for loss in found], "o-", color=ACCENT)
        axes.set(xlabel=say("loss.images"), ylabel=say("loss.loss"))
        from_zero(axes)

    return panel("held-out", draw)


def levels(say: Language, found: Sequence[HeldOut]) -> Markup:
    """Draws the loss at each level, the noisiest left, of the first and of the last time; every level is as wide, since
    training visits them equally often."""
    first, last = found[0], found[-1]

    def draw(axes: Axes) -> None:
        edges = range(len(last.log_snr))
        if first is not last and len(first.held_out_levels) == len(last.held_out_levels):
            label = say("held_out.after", images=first.images)
            axes.stairs(first.held_out_levels[::-1], edges, color=QUIET, linewidth=1.4, label=label)
        axes.stairs(
            last.held_out_levels[::-1],
            edges,
            color=ACCENT,
            linewidth=1.8,
            label=say("held_out.after", images=last.images),
        )
        axes.set_xticks(edges, [say.number(edge) for edge in last.log_snr[::-1]])
        axes.tick_params(axis="x", labelsize="small")
        axes.set(xlabel=say("held_out.log_snr"), ylabel=say("loss.loss"))
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1))

    return panel("held-out-levels", draw)
