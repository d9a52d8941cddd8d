"""What a generated picture says of how it was drawn, asked for anew: nothing may be other than it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kakusan.commands.stamp import Beside, Generated, Given, worn_by
from kakusan.config.names import MODELS, SCHEDULERS
from kakusan.errors import KakusanError
from kakusan.files import at_home, sha256_of
from kakusan.stable_diffusion import Extras, Memory, Request, TextToImage, control_of, edit_of
from kakusan.stable_diffusion.control import CANNY


def request(stamp: Generated) -> Request:
    """Returns what was asked for: the whole set of the picture, which shares what is rounded."""
    edit = None
    if stamp.init is not None:
        edit = edit_of(stamp.init.path, None if stamp.mask is None else stamp.mask.path, stamp.strength)
    return Request(
        stamp.prompts or (),
        n=stamp.n,
        negative=stamp.negative,
        steps=stamp.steps,
        guidance=stamp.guidance,
        eta=stamp.eta,
        scheduler=stamp.scheduler if stamp.scheduler in SCHEDULERS else None,
        height=stamp.height if edit is None else None,
        width=stamp.width if edit is None else None,
        edit=edit,
        controls=tuple(control_of(it.image.path) for it in stamp.controls if it.image is not None),
        seed=stamp.seed,
        batch=stamp.batch,
    )


def extras(stamp: Generated) -> Extras:
    """Returns what the pipeline was given beside its weights."""
    return Extras(
        tuple((it.path, it.weight) for it in stamp.loras),
        tuple((it.path, it.weight) for it in stamp.controls),
        tuple(it.path for it in stamp.embeddings),
        None if stamp.refiner is None else stamp.refiner.path,
    )


def memory(now: Memory, stamp: Generated) -> Memory:
    """Returns what is to be spared: weights are of the type that they were, unless another one is asked for, and tiles
    are tiles again."""
    now = replace(now, tiling=now.tiling or stamp.tiling)
    return replace(now, dtype=stamp.dtype) if now.dtype == "auto" else now


def model(stamp: Generated, like: Path) -> str:
    """Returns the model of a picture, where its name alone finds it.

    Raises:
        KakusanError: It does not.
    """
    if stamp.model not in MODELS:
        raise KakusanError(f"{like} was drawn from {stamp.model}: say where it lies (--model DIR)")
    return stamp.model


def require_same_pictures(stamp: Generated, like: Path) -> None:
    """Refuses where a picture by which it was drawn is another now.

    Raises:
        KakusanError: One is.
    """
    for it in (stamp.init, stamp.mask, *(it.image for it in stamp.controls)):
        if it is not None and (place := at_home(it.path.removeprefix(CANNY))).is_file():
            _require(like, it, sha256_of([place]))


def require_same_model(stamp: Generated, like: Path, opened: TextToImage) -> None:
    """Refuses another model.

    Raises:
        KakusanError: Its weights are others.
    """
    if opened.weights_hash != stamp.weights:
        raise KakusanError(
            f"{like} was drawn with other weights than those of {opened.name}: it needs the model {stamp.model} whose "
            f"weights have the SHA-256 {stamp.weights[:12]}…, not {opened.weights_hash[:12]}…"
        )


def require_same_extras(stamp: Generated, like: Path, fitted: TextToImage) -> None:
    """Refuses where something that the pipeline wears is another now.

    Raises:
        KakusanError: Something is.
    """
    images = [it.image for it in stamp.controls if it.image is not None]
    now = worn_by(fitted, images)
    for field, it in now.items():
        for this, that in zip(_several(it), _several(getattr(stamp, field)), strict=True):
            _require(like, that, this.sha256)


def _several(worn: Any) -> Iterator[Beside]:
    yield from worn if isinstance(worn, tuple) else () if worn is None else (worn,)


def _require(like: Path, then: Given | Beside, now: str) -> None:
    if now != then.sha256:
        raise KakusanError(
            f"{like} was drawn from {then.path} as it was then, with the SHA-256 {then.sha256[:12]}…, and it has "
            f"{now[:12]}… now (put the old one there)"
        )
