"""The network as a diagram: what works at which resolution, what skips across, and where time and class enter."""

from __future__ import annotations

from collections import Counter

from markupsafe import Markup

from kakusan.reporting.anatomy import Network, Stack, UShape
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language

_BYTES = 4  # of a parameter in float32


def section(say: Language, network: Network | None) -> Section | None:
    """Shows a network; of one without a diagram its name and its size."""
    if network is None:
        return None
    title = finding(say, network)
    figure = Figure(
        title=title,
        content=_facts(say, network) if network.shape is None else diagram(say, network.shape, network.parameters),
        caption=say("network.caption_own" if network.shape is None else "network.caption", name=network.name),
        alt=say("network.alt_own" if network.shape is None else "network.alt", title=title),
    )
    return Section("network", say("network.heading"), figure)


def size_of(say: Language, parameters: int) -> str:
    """Returns what so many parameters take in float32."""
    return say.size(parameters * _BYTES)


def finding(say: Language, network: Network) -> str:
    """Says how large a network is, and at which resolution most of it works."""
    values = {"parameters": network.parameters, "size": size_of(say, network.parameters)}
    if network.shape is None:
        return say("network.size", **values)
    at = Counter[tuple[int, int]]()
    for stack in (*network.shape.down, network.shape.bottom, *network.shape.up):
        at[stack.size] += stack.parameters
    (resolution, most) = at.most_common(1)[0]
    return say("network.most", **values, share=most / network.parameters, resolution=_resolution(resolution))


def diagram(say: Language, shape: UShape, parameters: int) -> Markup:
    """Draws the U: a row a resolution, the way down on the left, the way up on the right, the bottom below."""

    def words(stack: Stack) -> dict[str, str]:
        return {
            "resolution": _resolution(stack.size),
            "channels": say("network.channels", channels=stack.channels),
            "blocks": say("network.attending" if stack.attention else "network.blocks", blocks=stack.blocks),
            "share": say.percent(stack.parameters / parameters),
        }

    return fragment(
        "network.html.jinja",
        say,
        rows=[(words(down), words(up)) for down, up in zip(shape.down, shape.up, strict=True)],
        bottom=words(shape.bottom),
        shape=shape,
        told=say.percent(shape.conditioning / parameters),
    )


def _facts(say: Language, network: Network) -> Markup:
    size = size_of(say, network.parameters)
    parameters = say("answer.parameters", parameters=network.parameters)
    return fragment("numbers.html.jinja", say, numbers=[(network.name, size, parameters)])


def _resolution(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width} × {height}"
