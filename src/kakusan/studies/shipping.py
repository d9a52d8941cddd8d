"""What the study of a small Stable Diffusion leaves: a directory that diffusers loads, and a card with its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kakusan.api.exchange import export
from kakusan.config.models import Text
from kakusan.config.names import SOURCES
from kakusan.results.quantities import PIECES
from kakusan.runs import Run
from kakusan.shapes.captions import one
from kakusan.shapes.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, UNTRAINED_COLOURS, UNTRAINED_RELATIONS
from kakusan.studies.workshop import Workshop
from kakusan.trials import Trial

_ABOUT = """
## Data

{data}

## Training

`{command}` trains it again: {trained}. The text encoder {reader}; the CLIP in `clip/` is beside them for ranking
pictures and guidance, and no part of the pipeline.

## Measured

A verifier without any network says whether a picture is as its prompt asks; prompts are for scenes that no training
had, {n:,} of a kind, which had no say in how they were drawn: with {how}. Each piece is asked where the ones before it
were right. In brackets, intervals of 95 %; weights as trained, before they were rounded to half precision. The ceiling
is the share of real pictures that still are as asked once they went through the autoencoder.

{table}

## Limits

It knows these scenes and nothing else: other words are read and mean nothing to it. One training was measured.
"""
_DRAWN = """\
{count:,} scenes of {height}×{width} pixels that `kakusan.shapes` draws: {things} of {shapes} shapes, {colours} colours
and {sizes} sizes, before {backgrounds} backgrounds, with captions in varied wording. No picture of anybody else's is
among them. Never trained on, to measure composition: {untrained}."""
_GIVEN = "{count:,} captioned pictures of {height}×{width} pixels."
_COMMANDS = {"shapes-text": "kakusan study mini", "demo-text": "kakusan demo --text"}


def ship(
    shop: Workshop,
    runs: dict[str, Run],
    directory: Path,
    drawn: Sequence[Trial],
    ceiling: Sequence[Trial],
    guidance: float,
    told: str,
) -> None:
    """Writes the pipeline, in half precision, with its CLIP.

    Args:
        shop: The study.
        runs: The trained parts, by name.
        directory: Where to; what lies there is replaced.
        drawn: What was measured of every kind of scenes.
        ceiling: The same of real pictures that went through the autoencoder.
        guidance: The scale that they were drawn with, and shall be.
        told: How long each part was trained, in words.
    """
    export(
        runs["denoiser"],
        directory,
        dtype="float16",
        clip=runs["clip"],
        guidance_scale=guidance,
        name="mini",
        overwrite=True,
    )
    card = directory / "README.md"
    about = _ABOUT.format(
        data=_data(shop, runs["denoiser"], any(trial.name == "trained-2" for trial in drawn)),
        command=_COMMANDS.get(shop.source, f"kakusan study mini --preset {Path(shop.source).name}"),
        trained=told,
        reader=_reader(shop.settings.text),
        n=drawn[0].protocol["n"],
        how=f"{drawn[0].protocol['steps']} steps, η = {drawn[0].protocol['eta']:g} and guidance {guidance:g}",
        table=_table(drawn, ceiling),
    )
    card.write_text(card.read_text("utf-8") + about, encoding="utf-8")


def _data(shop: Workshop, run: Run, pairs: bool) -> str:
    """Returns what was learned from, in words."""
    state = run.checkpoint().state()
    _, height, width = state["shape"]
    size = {"count": state["epoch"], "height": height, "width": width}
    if shop.settings.data.source not in SOURCES:
        return _GIVEN.format(**size)
    colours = sorted(one(f"{colour} {shape}") for colour, shape in UNTRAINED_COLOURS)
    relations = sorted(f"a {first} {how} a {other}" for first, how, other in UNTRAINED_RELATIONS)
    return _DRAWN.format(
        **size,
        things="one or two things" if pairs else "one thing",
        shapes=len(SHAPES),
        colours=len(COLOURS),
        sizes=len(SIZES),
        backgrounds=len(BACKGROUNDS),
        untrained="; and ".join(", ".join(some) for some in ([colours, relations] if pairs else [colours])),
    )


def _reader(text: Text) -> str:
    """Returns where the text encoder came from, in words."""
    if text.init is None:
        return "learned with the U-Net, from nothing"
    return "is that of a CLIP, as it was" if text.frozen else "began as that of a CLIP, and learned with the U-Net"


def _table(drawn: Sequence[Trial], ceiling: Sequence[Trial]) -> str:
    """Returns a row a kind of scenes, in Markdown."""
    pieces = [name for name in ("prompts", *PIECES) if any(name in trial.values for trial in drawn)]
    lines = [
        f"| scenes | {' | '.join('as asked' if name == 'prompts' else name for name in pieces)} | ceiling |",
        f"|---{'|---' * len(pieces)}|---|",
    ]
    for trial, most in zip(drawn, ceiling, strict=True):
        cells = []
        for name in pieces:
            if (it := trial.values.get(name)) is None:
                cells.append("")
                continue
            doubt = "" if it.interval is None else f" ({it.interval[0]:.1%} to {it.interval[1]:.1%})"
            cells.append(f"{it.value:.1%}{doubt}")
        lines.append(f"| {trial.name} | {' | '.join(cells)} | {most.values['prompts'].value:.1%} |")
    return "\n".join(lines)
