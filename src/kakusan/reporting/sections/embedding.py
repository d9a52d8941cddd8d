"""What the network is told of the time: sines and cosines, and how alike they make two times."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

from kakusan.config import models as config
from kakusan.networks.embeddings import sinusoidal_embedding
from kakusan.reporting.html import Figure, Section, data_uri, fragment
from kakusan.reporting.language import Language
from kakusan.schedules import Schedule

PLACES = (0, 100, 300, 500, 700, 999)
_READ = (0, 250, 500, 750, 999)
_STEPS, _DIMENSIONS, _TICK = 1000, 64, 16
_USUAL_WIDTH = 128
_LEVELS = 16  # of each colour; the eye sees no more, and the picture is a third as large


def section(say: Language, network: config.Network, schedule: Schedule) -> Section:
    """Shows the embedding of 1,000 times, and the cosine similarity of six of them.

    Args:
        say: The language.
        network: The run's; for one of the user's own the usual embedding of width 128 stands in.
        schedule: Whose clock is embedded.
    """
    readings = clock(schedule)
    embedded = sinusoidal_embedding(readings, width(network))
    compared = [_shown(readings[place]) for place in PLACES]
    alike = similarity(embedded[list(PLACES)])
    title = finding(say, compared, alike)
    values = {"width": width(network), "shown": min(width(network), _DIMENSIONS)}
    part = say("embedding.all" if values["shown"] == values["width"] else "embedding.some", **values)
    own = isinstance(network, config.OwnNetwork)
    figure = Figure(
        title=title,
        content=fragment(
            "embedding.html.jinja",
            say,
            dimensions=values["shown"],
            ticks=sorted({*range(0, values["shown"], _TICK), values["shown"] - 1}),
            masks={sign: data_uri(_mask(factor * embedded)) for sign, factor in (("positive", 1), ("negative", -1))},
            readings=[(place, _shown(readings[place])) for place in _READ],
            compared=compared,
            rows=alike.tolist(),
        ),
        caption=say("embedding.caption_own", **values) if own else say("embedding.caption", part=part),
        alt=say("embedding.alt", title=title),
    )
    return Section("embedding", say("embedding.heading"), figure)


def width(network: config.Network) -> int:
    """Returns the length of the sinusoidal embedding of a network."""
    match network:
        case config.UNet():
            return network.channels[0]
        case config.SimpleUNet():
            return network.time_emb_dim
    return _USUAL_WIDTH


def clock(schedule: Schedule) -> Tensor:
    """Returns what the clock shows at 1,000 times, shape (1000,); of a chain of 1,000 steps, their indices."""
    first = max(schedule.earliest, 1 / _STEPS)
    return schedule.clock(torch.linspace(first, 1, _STEPS, dtype=torch.float64))


def similarity(vectors: Tensor) -> Tensor:
    """Returns the cosine of the angle between any two of N vectors, shape (N, width): float64, shape (N, N)."""
    directions = functional.normalize(vectors.double(), dim=1)
    return directions @ directions.T


def finding(say: Language, compared: Sequence[str], alike: Tensor) -> str:
    """Says which two of the ``compared`` readings are the most alike, and which two the least."""
    pairs = sorted(combinations(range(len(compared)), 2), key=lambda pair: alike[pair].item())
    (least, other_least), (most, other_most) = pairs[0], pairs[-1]
    return say(
        "embedding.title",
        most=compared[most],
        other_most=compared[other_most],
        highest=f"{alike[most, other_most].item():.2f}",
        least=compared[least],
        other_least=compared[other_least],
        lowest=f"{alike[least, other_least].item():.2f}",
    )


def _shown(reading: Tensor) -> str:
    return f"{reading.item():.3g}".replace("-", "\N{MINUS SIGN}")


def _mask(embedded: Tensor) -> Tensor:
    """Returns how strongly a colour is seen, a row a dimension: bytes, shape (64 at most, 1000, 1)."""
    levels = (embedded[:, :_DIMENSIONS].clamp(min=0) * _LEVELS).round() / _LEVELS
    return (255 * levels).to(torch.uint8).T[:, :, None]
