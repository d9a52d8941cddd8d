"""One picture becomes bytes of the wanted size, and says what had to be changed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kakusan.errors import counted, reason_alone

Conversion = tuple[str, str]
"""What kind of image it was, and what it became."""

_GREY_MODES = ("1", "L", "LA")


@dataclass(frozen=True)
class Picture:
    """A decoded image: bytes of shape (1, H, W) where it is grey, (3, H, W) where it has colour."""

    pixels: NDArray[np.uint8]
    conversions: tuple[Conversion, ...]


@dataclass(frozen=True)
class Unreadable:
    """Why an entry is no image that can be used."""

    reason: str


def describe(kind: str, result: str, count: int) -> str:
    """Says what ``count`` images of one kind became."""
    return f"{counted(count, f'{kind} image')} became {result}"


def decode(read: Callable[[], Image.Image], size: int | None, grey: bool) -> Picture | Unreadable:
    """Decodes the first frame of a picture, turned upright as its EXIF orientation says.

    Args:
        read: Opens it, with whatever error it may have.
        size: Side of the square that is wanted: the shorter side is resized to it, antialiased, and the middle is
            kept. None keeps the size.
        grey: Turns colour into grey.
    """
    try:
        with read() as picture:
            return _convert(picture, size, grey)
    except UnidentifiedImageError:
        return Unreadable("not an image")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Unreadable("more pixels than can be read safely")
    # Broken files make decoders raise almost anything, and one of them must not end the reading of the others.
    except Exception as error:
        return Unreadable(reason_alone(error))


def _convert(file: Image.Image, size: int | None, grey: bool) -> Picture:
    conversions: list[Conversion] = []
    # Asked before the pixels are loaded: Pillow narrows colours of 16 bits by itself and forgets that it did.
    if any(";16" in str(tile) for tile in getattr(file, "tile", ())):
        conversions.append(("16-bit", "8-bit"))
    ImageOps.exif_transpose(file, in_place=True)
    image = _grey_or_colour(file, conversions)
    if grey and image.mode == "RGB":
        image = image.convert("L")
        conversions.append(("colour", "grey"))
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
        conversions.append(("off-size", f"{size}×{size} (shorter side resized, middle kept)"))
    pixels = np.asarray(image)
    return Picture(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), tuple(conversions))


def _grey_or_colour(image: Image.Image, conversions: list[Conversion]) -> Image.Image:
    """Returns the image in mode L or RGB."""
    if image.mode.startswith("I;16") or (image.mode == "I" and conversions):
        # Pillow's own conversion to L clips at 255: nearly everything would turn white.
        return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels, whose range is unknown")
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    if image.mode in ("P", "PA"):
        conversions.append(("palette", "RGB"))
    if image.mode == "CMYK":
        conversions.append(("CMYK", "RGB"))
    if image.has_transparency_data:
        conversions.append(("transparent", "opaque, on white"))
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert(mode)
    return image if image.mode == mode else image.convert(mode)
