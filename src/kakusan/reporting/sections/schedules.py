"""The three schedules side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from markupsafe import Markup
from matplotlib.axes import Axes

from kakusan import schedules
from kakusan.reporting.axes import logarithmic
from kakusan.reporting.canvas import ACCENT, INK, panel
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language

CHAINS: Mapping[str, Callable[[], schedules.Chain]] = {
    "linear": schedules.linear,
    "cosine": schedules.cosine,
    "quadratic": schedules.quadratic,
}
_INDICES = (0, 100, 300, 500, 700, 999)
_DASHES = {"linear": "solid", "cosine": (0, (5, 1.5)), "quadratic": (0, (1.2, 1.2))}


def section(say: Language, own: str) -> Section:
    """Shows β and ᾱ of the three chains over 1,000 steps, and their numbers at six of them.

    Args:
        say: The language.
        own: The schedule that the run trained with, which stands out where it is one of the three.
    """
    title = _title(say, {name: half_signal(name) for name in CHAINS})
    mine = own in CHAINS
    figure = Figure(
        title=title,
        content=curves(say, own),
        caption=say("schedules.own", name=say(f"schedules.{own}")) if mine else say("schedules.caption"),
        alt=say("schedules.alt", title=title),
    )
    chains = [(say(f"schedules.{name}"), make(), name == own) for name, make in CHAINS.items()]
    tables = fragment("schedules.html.jinja", say, chains=chains, indices=_INDICES)
    return Section("schedules", say("schedules.heading"), figure, tables)


def curves(say: Language, highlight: str = "") -> Markup:
    """Draws β and ᾱ, in a panel each, the chain ``highlight`` in the accent colour."""
    chains = {name: make() for name, make in CHAINS.items()}
    index = range(1000)

    def line(name: str) -> dict[str, Any]:
        colour = ACCENT if name == highlight else INK
        return {"label": say(f"schedules.{name}"), "linestyle": _DASHES[name], "color": colour}

    def draw_betas(axes: Axes) -> None:
        for name, chain in chains.items():
            axes.plot(index, chain.betas, **line(name))
        logarithmic(axes)
        axes.set(xlabel=say("schedules.step"), ylabel=say("schedules.beta"), ylim=(2e-5, 1.5))
        axes.legend()

    def draw_signal(axes: Axes) -> None:
        for name, chain in chains.items():
            axes.plot(index, chain.alphas_cumprod, **line(name))
        axes.set(xlabel=say("schedules.step"), ylabel=say("schedules.signal"))
        axes.legend()

    return panel("betas", draw_betas) + panel("signal", draw_signal)


def half_signal(name: str) -> int:
    """Returns after how many of 1,000 steps a chain of ``CHAINS`` keeps half of the signal's power, ᾱ = ½."""
    chain = CHAINS[name]()
    return round(chain.time_at(torch.zeros((), dtype=torch.float64)).item() * chain.steps)


def _title(say: Language, halves: Mapping[str, int]) -> str:
    """Says when each schedule has lost half of the signal's power, the hastiest first."""
    (first, steps), *others = sorted(halves.items(), key=lambda half: half[1])
    second, third = (say("schedules.other", name=say(f"schedules.{name}"), steps=later) for name, later in others)
    return say("schedules.title", first=say(f"schedules.{first}"), steps=steps, second=second, third=third)
