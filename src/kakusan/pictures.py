"""Between tensors and PNG files: pixels, settings that ride inside a file, grids and film strips."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from kakusan.errors import KakusanError
from kakusan.files import atomic_path

_CHUNK = "kakusan"
_LEGIBLE_WIDTH = 64


def to_uint8(images: Tensor) -> Tensor:
    r"""Returns pixels as bytes, rounded to the nearest and clamped.

    .. math:: u = \operatorname{round}(127.5\, (x + 1))

    Args:
        images: Values in [-1, 1], any floating dtype, shape (N, C, H, W) or any other.
    """
    # In float32 first: bfloat16 holds fewer values between 128 and 255 than a byte does.
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """Returns bytes as float32 values in [-1, 1]: u/127.5 - 1, which :func:`to_uint8` undoes exactly."""
    return images.float() / 127.5 - 1


def save(path: str | Path, image: Tensor, metadata: Mapping[str, Any] | None = None) -> None:
    """Writes a PNG, whole or not at all.

    Args:
        path: Where to; missing directories are made.
        image: Shape (C, H, W), with C = 1 (grey) or 3 (RGB): values in [-1, 1], or bytes.
        metadata: Settings to ride inside the file as JSON, for :func:`read_metadata`.

    Raises:
        KakusanError: The image has another shape, or the disk refuses the file.
    """
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise KakusanError(f"a picture has shape (1, H, W) or (3, H, W), not {tuple(image.shape)}")
    pixels = image if image.dtype == torch.uint8 else to_uint8(image)
    array = pixels.detach().movedim(0, -1).cpu().numpy()
    text = PngInfo()
    if metadata is not None:
        text.add_text(_CHUNK, json.dumps(dict(metadata), ensure_ascii=False))
    with atomic_path(path) as temporary:
        Image.fromarray(array.squeeze(-1) if len(pixels) == 1 else array).save(temporary, format="PNG", pnginfo=text)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Returns the settings that :func:`save` put into a PNG.

    Raises:
        KakusanError: The file is missing, not a PNG, or holds no such settings.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            text = image.info.get(_CHUNK)
    except UnidentifiedImageError as error:
        raise KakusanError(f"{path} is not a PNG (give a picture that kakusan wrote)") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise KakusanError(f"cannot read {path}: {reason} (give a picture that kakusan wrote)") from error
    try:
        metadata = json.loads(text or "")
    except json.JSONDecodeError:
        metadata = None
    if not isinstance(metadata, dict):
        raise KakusanError(f"{path} holds no settings of kakusan (give a picture that kakusan wrote)")
    return metadata


def grid(images: Tensor, columns: int | None = None, gap: int = 1) -> Tensor:
    """Lays images out in rows, on white.

    Args:
        images: Shape (N, C, H, W), N ≥ 1: values in [-1, 1], or bytes.
        columns: Images in a row; as many as make the grid square by default.
        gap: White pixels between neighbours.

    Returns:
        One image of the same dtype, shape (C, rows·(H + gap) - gap, columns·(W + gap) - gap).

    Raises:
        KakusanError: There is no image, or ``columns`` is below 1.
    """
    count, channels, height, width = images.shape
    if count < 1:
        raise KakusanError("a grid needs at least 1 image, not 0")
    if columns is not None and columns < 1:
        raise KakusanError(f"a grid needs at least 1 column, not {columns}")
    columns = min(columns or math.isqrt(count - 1) + 1, count)
    rows = math.ceil(count / columns)
    row, column = height + gap, width + gap
    white = 255 if images.dtype == torch.uint8 else 1
    canvas = images.new_full((channels, rows * row - gap, columns * column - gap), white)
    for index, image in enumerate(images):
        top, left = index // columns * row, index % columns * column
        canvas[:, top : top + height, left : left + width] = image
    return canvas


def film_strip(frames: Sequence[Tensor], gap: int = 1) -> Tensor:
    """Lays out how images emerge: a row is an image, a column a step.

    Args:
        frames: Every step's batch, each of shape (N, C, H, W).
        gap: White pixels between neighbours.

    Returns:
        One image, shape (C, N·(H + gap) - gap, steps·(W + gap) - gap).

    Raises:
        KakusanError: There is no frame, or no image in them.
    """
    if not frames:
        raise KakusanError("a film strip needs at least 1 step, not 0")
    return grid(torch.stack(list(frames), dim=1).flatten(0, 1), columns=len(frames), gap=gap)


def legible(sheet: Tensor, width: int) -> Tensor:
    """Returns a ``sheet``, shape (..., H, W), of pictures ``width`` pixels wide, enlarged where those are tiny."""
    return enlarge(sheet, max(1, _LEGIBLE_WIDTH // width))


def enlarge(image: Tensor, factor: int) -> Tensor:
    """Returns ``image``, shape (..., H, W), with every pixel a square of ``factor`` by ``factor``.

    Raises:
        KakusanError: ``factor`` is below 1.
    """
    if factor < 1:
        raise KakusanError(f"a picture is enlarged by a factor of at least 1, not {factor}")
    return image.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
