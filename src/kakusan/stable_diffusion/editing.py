"""A picture to begin from, and which of its pixels are to be drawn anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import max_pool2d

from kakusan.data.decode import Unreadable, decode
from kakusan.errors import KakusanError
from kakusan.files import at_home, sha256_of
from kakusan.stable_diffusion.sizes import require_side

STRENGTH = 0.8
"""Share of the walk that a picture is taken back by, unless told otherwise."""
_WHITE = 0.5


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture that was given.

    Attributes:
        path: Where it lies.
        sha256: Of the file.
        pixels: In [0, 1], shape (C, H, W), with C = 1 (grey) or 3 (RGB).
    """

    path: Path
    sha256: str
    pixels: Tensor


@dataclass(frozen=True, eq=False)
class Edit:
    """How pictures come about from another; :func:`edit_of` makes it.

    Attributes:
        init: What they begin from.
        strength: Share of the walk, in (0, 1], that is walked: at 1 nothing is left of ``init`` where it is redrawn.
        mask: What is white is redrawn, and all else stays as it is; None redraws all.
    """

    init: Shown
    strength: float
    mask: Shown | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        _, height, width = self.init.pixels.shape
        return height, width

    def begun(self, count: int) -> Tensor:
        """Returns what so many images begin from: in [0, 1], (count, 3, H, W), so that each has noise of its own."""
        return self.init.pixels.expand(count, 3, -1, -1)

    def redrawn(self, factor: int) -> Tensor:
        """Returns 1 where a latent holds a pixel that is to be redrawn: (1, 1, H, W), of an autoencoder that shrinks by
        a ``factor``. Taken from one pixel of each, as diffusers does, a thin line of a mask would be lost."""
        white = max_pool2d(self._white()[None].float(), factor)
        return white.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)

    def kept(self, images: Tensor) -> Tensor:
        """Returns ``images``, in [−1, 1], shape (B, 3, H, W), with the pixels of ``init`` where they are to stay."""
        return images if self.mask is None else torch.where(self._white(), images, self.init.pixels * 2 - 1)

    def _white(self) -> Tensor:
        assert self.mask is not None
        return self.mask.pixels > _WHITE


def edit_of(init: str | Path | None, mask: str | Path | None = None, strength: float | None = None) -> Edit | None:
    """Reads what pictures are to begin from; None where they begin from noise.

    Args:
        init: A picture, each side of which is a multiple of 8 pixels.
        mask: A picture of the same size, white where ``init`` is to be redrawn.
        strength: As of :class:`Edit`; None: 0.8.

    Raises:
        KakusanError: A file cannot be read, does not fit, or ``strength`` is out of its range or of no use.
    """
    if init is None:
        for name, given in (("mask", mask), ("strength", strength)):
            if given is not None:
                raise KakusanError(
                    f"{name} {given} says how a picture is redrawn, and there is none (give --init FILE)"
                )
        return None
    strength = STRENGTH if strength is None else strength
    if not 0 < strength <= 1:
        raise KakusanError(
            f"strength must lie above 0, where the picture stays as it is, and be at most 1, not {strength:g} "
            f"({STRENGTH:g} is usual)"
        )
    begun = shown(init, grey=False)
    edit = Edit(begun, strength, None if mask is None else shown(mask, grey=True))
    for name, side in zip(("height", "width"), edit.size, strict=True):
        require_side(f"the {name} of {init}", side)
    if edit.mask is not None:
        _require_mask(edit.mask, begun)
    return edit


def _require_mask(mask: Shown, init: Shown) -> None:
    theirs, ours = (f"{it.shape[2]}×{it.shape[1]}" for it in (mask.pixels, init.pixels))
    if theirs != ours:
        raise KakusanError(
            f"the mask {mask.path} has {theirs} pixels, and {init.path} has {ours} (make them of one size)"
        )
    if not (mask.pixels > _WHITE).any():
        raise KakusanError(f"no pixel of the mask {mask.path} is white: nothing is redrawn (paint white what shall be)")


def shown(path: str | Path, grey: bool) -> Shown:
    """Reads a picture that was given.

    Raises:
        KakusanError: It cannot be read.
    """
    place = at_home(path)
    found = decode(partial(Image.open, place), None, grey)
    if isinstance(found, Unreadable):
        raise KakusanError(f"cannot read the picture {path}: {found.reason} (give a PNG, a JPEG or the like)")
    return Shown(Path(path), sha256_of([place]), torch.from_numpy(found.pixels.copy()).float() / 255)
