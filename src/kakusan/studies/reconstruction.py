"""What an autoencoder leaves of images: some to look at, and more to measure."""

from __future__ import annotations

from contextlib import suppress

import torch

from kakusan.codec import Codec
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.evaluation.pairs import measure_pairs
from kakusan.pictures import from_uint8, to_uint8
from kakusan.reporting.shown import Reconstructed
from kakusan.results import Measurement
from kakusan.seeing.sources import Stored

_SHOWN, _MEASURED, _CHUNK = 10, 500, 64
_METRICS = ("psnr", "ssim", "lpips")


def reconstructed(codec: Codec, data: Stored) -> Reconstructed | None:
    """Returns images and what is left of them: those that were held out, if any were.

    Args:
        codec: The autoencoder.
        data: Its images, with what it learned of them.

    Returns:
        None where it is for images of another shape.
    """
    if data.shape != codec.shape:
        return None
    which = torch.arange(data.n) if data.held_out is None else data.held_out
    images = data.at(which[:_MEASURED])
    parts = torch.split(images, _CHUNK)
    found = torch.cat([codec.reconstruct(from_uint8(part)).cpu() for part in parts])
    return Reconstructed(
        from_uint8(images[:_SHOWN]),
        found[:_SHOWN],
        codec.latent_shape,
        data.held_out is not None,
        _measured(images, to_uint8(found), codec.device),
    )


def _measured(images: torch.Tensor, found: torch.Tensor, device: torch.device) -> dict[str, Measurement]:
    """Returns how far apart they are, by those metrics whose library and weights are here."""
    names = tuple(f"{number}.png" for number in range(len(images)))
    before, after = ImageSet(images, names=names, name="images"), ImageSet(found, names=names, name="reconstructions")
    told = {}
    for metric in _METRICS:
        with suppress(KakusanError):
            (measured,) = measure_pairs(before, after, [metric], offline=True, device=device, show=False)
            told[metric] = measured
    return told
