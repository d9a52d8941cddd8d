"""Prompt accuracy: the share of pictures in which the verifier of scenes finds just what their captions ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from random import Random
from typing import Any

import torch
from torch import Tensor

from kakusan import sampling
from kakusan.config.models import Sampling
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.evaluation.captions import captioned, left_out, require_captions
from kakusan.model import Model
from kakusan.pictures import to_uint8
from kakusan.progress import Bar
from kakusan.proportions import interval
from kakusan.results import Measurement
from kakusan.results.quantities import PIECES
from kakusan.seeds import derive
from kakusan.shapes import Scene, Verdict, caption, draw, scene, verify

CELLS = (
    ("trained", 1),
    ("untrained-colour", 1),
    ("trained", 2),
    ("untrained-colour", 2),
    ("untrained-relation", 2),
)
"""Kinds of scenes, and how many things they have."""

_N = 100  # of a cell
_STREAM = 2**20  # scenes of another seed are others than those of the source

Show = Callable[[int, Sequence[Scene], Sequence[str]], Tensor]
"""From the number of a kind in CELLS, scenes of it and their captions to the pictures that are judged, uint8, shape
(n, 3, H, H)."""


def measure_prompts(
    model: Model,
    settings: Sampling,
    *,
    n: int | None = None,
    seed: int = 0,
    kinds: Sequence[int] = range(len(CELLS)),
    lead: Callable[[Sequence[str]], sampling.Led] | None = None,
    show: bool = True,
) -> list[Measurement]:
    """Returns how often a model draws what is asked for: in scenes of every kind, of which it has seen none.

    Args:
        model: One that reads text, or is led, of square colour pictures.
        settings: How it draws.
        n: Prompts of each kind; 100 by default.
        seed: Of prompts and noise.
        kinds: Numbers of those in :data:`CELLS` that are measured.
        lead: By what the walk to captions is led, in place of being told them.
        show: Whether to show progress.

    Raises:
        KakusanError: It reads no text, or its pictures are none that the verifier reads.
    """
    if model.words is None and lead is None:
        raise KakusanError("prompts asks a model for scenes in words, and this one reads none")
    if model.shape[0] != 3 or model.shape[1] != model.shape[2] or model.shape[1] < 16:
        raise KakusanError(f"prompts are judged in square colour pictures of 16 pixels or more, not {model.shape}")
    n = n or _N

    def drawn(number: int, scenes: Sequence[Scene], captions: Sequence[str]) -> Tensor:
        untold = None if model.words is None else ""
        asked, led = (captions, None) if lead is None else (untold, lead(captions))
        plan = sampling.plan(model, n=len(captions), settings=settings, seed=seed + number, prompts=asked, led=led)
        with Bar(f"scenes of kind {number + 1} of {len(CELLS)}", 1, show=show) as bar:
            return to_uint8(sampling.sample(plan, bar.report)).cpu()

    protocol = {
        "weights_hash": model.weights_hash,
        "images_seen": model.images,
        "seed": seed,
        **settings.model_dump(),
        "kakusan": version("kakusan"),
    }
    return [_cell(number, n, seed, drawn, protocol) for number in kinds]


def measure_shown(
    show: Callable[[Tensor], Tensor],
    size: int,
    *,
    n: int = _N,
    seed: int = 0,
    kinds: Sequence[int] = range(len(CELLS)),
    middle: bool = False,
    protocol: dict[str, Any] | None = None,
) -> list[Measurement]:
    """Returns how often the verifier accepts what becomes of real pictures, uint8, (n, 3, H, H): of those that went
    through an autoencoder, say, beyond which no model of its latents comes.

    Args:
        show: From real pictures to what becomes of them, of the same shape.
        size: Their side.
        n, seed, kinds, protocol: How many of each kind, of which seed, of which kinds, and what else the numbers say.
        middle: Whether a single thing stands in the middle of them.
    """

    def shown(number: int, scenes: Sequence[Scene], captions: Sequence[str]) -> Tensor:
        return show(torch.stack([draw(it, size) for it in scenes]))

    return [_cell(number, n, seed, shown, protocol or {}, middle) for number in kinds]


def measure_scenes(images: ImageSet) -> Measurement:
    """Returns how often the verifier accepts images with the captions that lie beside them.

    Raises:
        KakusanError: They have none, or are no scenes.
    """
    require_captions(images, "prompts")
    verdicts = [verify(images.images[place], images.captions[place]) for place in captioned(images)]
    return _found("prompts", verdicts, {"images": images.name}, left_out(images))


def asked_for(number: int, n: int, seed: int = 0, middle: bool = False) -> tuple[list[Scene], list[str]]:
    """Returns scenes of a kind in :data:`CELLS` and what is asked for of them: how one thing stands to the other, and
    not where each stands, which is easier to draw; evenly worded.

    Args:
        number: Of the kind.
        n, seed: How many, and of which seed.
        middle: Whether a single thing stands in the middle.
    """
    kind, things = CELLS[number]
    scenes = [scene(seed + _STREAM, index, kind=kind, things=things, middle=middle) for index in range(n)]
    lots = (Random(derive(seed, f"prompts {kind} {things}", index)) for index in range(n))
    return scenes, [caption(it, own, leaning=False) for it, own in zip(scenes, lots, strict=True)]


def _cell(number: int, n: int, seed: int, show: Show, protocol: dict[str, Any], middle: bool = False) -> Measurement:
    kind, things = CELLS[number]
    scenes, captions = asked_for(number, n, seed, middle)
    verdicts = [verify(*it) for it in zip(show(number, scenes, captions), captions, strict=True)]
    return _found(f"prompts-{kind}-{things}", verdicts, {"scenes": kind, "things": things, **protocol}, [])


def _found(metric: str, verdicts: Sequence[Verdict], protocol: dict[str, Any], remarks: list[str]) -> Measurement:
    """Returns the share that was accepted and, in the protocol, every piece's share: of the background among all that
    ask for one, of the others among those where the pieces before were right."""
    n = len(verdicts)
    share = sum(it.accepted for it in verdicts) / n
    pieces = {}
    for name in PIECES:
        if asked := [piece for it in verdicts if (piece := getattr(it, name)) is not None]:
            pieces[name] = round(sum(asked) / len(asked), 4)
    return Measurement(
        metric=metric,
        value=share,
        interval=interval(share, n),
        protocol={"metric": metric, "n": n, **pieces, **protocol},
        remarks=remarks,
    )
