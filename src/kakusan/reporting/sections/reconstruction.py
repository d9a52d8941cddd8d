"""Images beside what is left of them once they went through their latents."""

from __future__ import annotations

from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language
from kakusan.reporting.shown import Reconstructed


def section(say: Language, found: Reconstructed | None) -> Section | None:
    """Shows a few images and their reconstructions."""
    if found is None:
        return None
    shape, latents = ("×".join(map(str, it)) for it in (found.images.shape[1:], found.latent_shape))
    title = say(
        "reconstruction.title", shape=shape, latents=latents, factor=found.images[0].numel() / found.latents_numel
    )
    pairs = list(zip(found.images, found.found, strict=True))
    figure = Figure(
        title=title,
        content=fragment("reconstruction.html.jinja", say, pairs=pairs),
        caption=say("reconstruction.held_out" if found.held_out else "reconstruction.learned"),
        alt=say("reconstruction.alt", n=len(pairs), title=title),
    )
    return Section("reconstruction", say("reconstruction.heading"), figure)
