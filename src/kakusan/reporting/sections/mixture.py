"""Two modes on a line: noised, and walked back by the exact denoiser and by a trained network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from markupsafe import Markup
from matplotlib.axes import Axes
from torch import Tensor

from kakusan import schedules
from kakusan.closed_form import GaussianMixture
from kakusan.config.names import sampler_title
from kakusan.proportions import Z_95
from kakusan.reporting.canvas import ACCENT, QUIET, panel
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language
from kakusan.reporting.shown import Mixture
from kakusan.results import MixtureEnds, Mode
from kakusan.schedules import Chain

INDICES = (*range(0, 45, 5), 49)
_PROCESSES = ("forward", "exact", "learned")
_REACH, _GAP, _HEIGHT = 4.5, 1.5, 0.48  # of a histogram, in the units of its points and of its density
_BINS, _LINE = 36, 61


def section(say: Language, mixture: Mixture | None, ends: MixtureEnds | None) -> Section | None:
    """Shows the points at ten indices of the chain beside the density they should have, and the modes they end in."""
    if mixture is None or ends is None:
        return None
    title = finding(say, mixture, ends)
    steps = len(mixture.forward) - 1
    figure = Figure(
        title=title,
        content=histograms(say, mixture),
        caption=say(
            "mixture.caption",
            points=mixture.forward.shape[1],
            steps=steps,
            scale=1000 / steps,
            left=f"{schedules.linear(steps).alphas_cumprod[-1].item():.2f}",
        ),
        alt=say("mixture.alt", title=title),
    )
    rows = [(say("mixture.truth"), _true_modes(mixture.truth))]
    rows += [(say(f"mixture.{process}"), getattr(ends, process)) for process in _PROCESSES]
    table = fragment("mixture.html.jinja", say, rows=rows, sampler=sampler_title("ddpm"), steps=steps)
    return Section("mixture", say("mixture.heading"), figure, table)


def finding(say: Language, mixture: Mixture, ends: MixtureEnds) -> str:
    """Says whether both modes are back at the end of both walks, and with what share of the points."""
    n = mixture.exact.shape[1]
    whole = all(_returned(mixture.truth, found, n) for found in (ends.exact, ends.learned))
    key = "mixture.returned" if whole else "mixture.changed"
    return say(key, exact=ends.exact[0].share, learned=ends.learned[0].share)


def histograms(say: Language, mixture: Mixture) -> Markup:
    """Draws a row an index and a column a process, so that what should be alike stands side by side."""
    top = 1.15 * _HEIGHT
    floors = [-row * _HEIGHT for row in range(len(INDICES))]
    centres = [column * (2 * _REACH + _GAP) for column in range(len(_PROCESSES))]
    place = torch.linspace(-_REACH, _REACH, _LINE, dtype=torch.float64)
    densities = [mixture.truth.log_density(place[:, None], t).exp() for t in _times(mixture.truth)]

    def draw(axes: Axes) -> None:
        for process, centre in zip(_PROCESSES, centres, strict=True):
            axes.text(centre, top, say(f"mixture.{process}_column"), ha="center", va="bottom", fontsize=8.5)
            for index, floor, density in zip(INDICES, floors, densities, strict=True):
                points = getattr(mixture, process)[index + 1].double()
                heights, edges = torch.histogram(points, bins=_BINS, range=(-_REACH, _REACH), density=True)
                axes.stairs(
                    heights + floor, edges + centre, baseline=floor, fill=True, color=QUIET, alpha=0.45, linewidth=0
                )
                axes.plot(place + centre, density + floor, color=ACCENT, linewidth=1)
        axes.set_yticks(floors, [f"t = {index}" for index in INDICES])
        axes.set_xticks([centre + end for centre in centres for end in (-2, 2)], ["−2", "2"] * len(centres))
        axes.set(xlim=(-_REACH, centres[-1] + _REACH), ylim=(floors[-1] - 0.03, top))
        axes.grid(visible=False)
        axes.spines.bottom.set_visible(False)

    return panel("mixture", draw, height=5.2)


def _times(truth: GaussianMixture) -> Tensor:
    assert isinstance(truth.schedule, Chain), "indices are those of a chain"
    return truth.schedule.index_to_time(torch.tensor(INDICES))


def _true_modes(truth: GaussianMixture) -> tuple[Mode, ...]:
    shares = truth.weights / truth.weights.sum()
    return tuple(
        Mode(share=share, mean=mean, deviation=truth.deviation)
        for share, mean in zip(shares.tolist(), truth.means[:, 0].tolist(), strict=True)
    )


def _returned(truth: GaussianMixture, found: Sequence[Mode], points: int) -> bool:
    """Whether shares differ from the true ones by no more than chance explains, and means by half a deviation."""
    return all(
        abs(mode.share - true.share) <= Z_95 * math.sqrt(true.share * (1 - true.share) / points)
        and abs(mode.mean - true.mean) <= truth.deviation / 2
        for mode, true in zip(found, _true_modes(truth), strict=True)
    )
