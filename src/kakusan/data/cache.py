"""One file of images that are decoded, cropped and resized already, mapped into memory rather than loaded.

It is a safetensors file: ``images``, uint8 of shape (N, C, H, W), ``checksums``, the CRC-32 of each image as int64 of
shape (N,), ``labels``, int64 of shape (N,), and ``names`` of the images' files and ``captions``, all of them in UTF-8,
each of which ends where ``name_ends`` and ``caption_ends``, int64 of shape (N,), say. Its name, origin and the CRC-32
of these tensors are in its metadata. Its header is longer than need be, so that images can be written before it is
known how many are broken.
"""

import json
import math
import mmap
import struct
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from shlex import quote
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kakusan.data.images import ImageSet
from kakusan.data.reading import Append, check_wishes, take
from kakusan.data.sources import Source, open_source
from kakusan.data.sources.held import Held
from kakusan.errors import KakusanError, counted
from kakusan.files import atomic_path, require_free_file

_SUFFIX = ".safetensors"
_FORMAT = "kakusan images 1"
_PAGE = 4096
_LARGE = 2**30
_TRIED = 1_000  # images of a large set
_DTYPES = {"uint8": "U8", "int64": "I64"}

Shape = tuple[int, ...]


def prepare(
    source: str | Path,
    path: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    max_broken: float = 0.05,
    overwrite: bool = False,
    show: bool = True,
) -> ImageSet:
    """Writes the images of a source into one file, whole or not at all, and returns them as they lie there.

    Args:
        source, size, channels, max_broken, show: As in :func:`kakusan.data.load`, which gives the same bytes.
        path: The file, which ends in ``.safetensors``.
        overwrite: Replace the file that is there.

    Raises:
        KakusanError: The source cannot be read as asked, the file is there already, or the disk refuses it.
    """
    check_wishes(size, channels, max_broken)
    path = Path(path)
    if path.suffix != _SUFFIX:
        raise KakusanError(f"a prepared cache ends in {_SUFFIX}, unlike {path} (-o {path.stem}{_SUFFIX})")
    require_free_file(path, overwrite)
    listed = open_source(source)
    made_from = {"source": str(source), "size": size, "channels": channels, "kakusan": version("kakusan")}
    everything = _front(listed, range(len(listed)), (3, 2**16, 2**16), [0] * len(listed), made_from)
    room = -(-sum(map(len, everything)) // _PAGE) * _PAGE + _PAGE
    shape: Shape = ()
    checksums: list[int] = []
    with atomic_path(path) as temporary, temporary.open("wb") as file:

        def begin(found: Shape) -> Append:
            nonlocal shape
            shape = found
            file.seek(room)
            checksums.clear()
            return append

        def append(image: NDArray[np.uint8]) -> None:
            pixels = image.tobytes()
            file.write(pixels)
            checksums.append(crc32(pixels))

        taken = take(listed, begin, size=size, channels=channels, max_broken=max_broken, show=show)
        file.truncate()
        header, tensors = _front(listed, taken.kept, shape, checksums, made_from)
        length = room - 8 - len(tensors)
        file.seek(0)
        file.write(struct.pack("<Q", length) + header.ljust(length) + tensors)
    cached = open_cache(path).images
    return replace(cached, notes=taken.notes, skipped=taken.skipped)


class Cached(Held):
    """Images of a cache, compared with their checksums where they are read one by one; where they are used as they are
    mapped, all of a set below a gibibyte are, and of a larger one, whose reading would take too long, a thousand.

    Args:
        path: The cache.
        images: The set.
        checksums: The CRC-32 of each; None in a cache of a version that kept none.
    """

    def __init__(self, path: Path, images: ImageSet, checksums: NDArray[np.int64] | None) -> None:
        super().__init__(images)
        self._path, self._checksums = path, checksums

    def whole(self) -> ImageSet:
        apart = 1 if self.images.images.nbytes < _LARGE else -(-len(self) // _TRIED)
        changed = [index for index in range(0, len(self), apart) if self._changed(index)]
        if changed:
            raise KakusanError(
                f"{self._path} is damaged: the bytes of {counted(len(changed), 'image')}, such as number "
                f"{changed[0]}, are not those that were written (kakusan data check lists them; prepare it anew, "
                f"or what is whole of it: kakusan data prepare {quote(str(self._path))} -o FILE)"
            )
        return self.images

    def read(self, index: int) -> Image.Image:
        if self._changed(index):
            raise ValueError("its bytes are not those that were written")
        return super().read(index)

    def _changed(self, index: int) -> bool:
        return self._checksums is not None and crc32(self.images.images.numpy()[index].data) != self._checksums[index]


def open_cache(path: Path) -> Cached:
    """Returns the images of a file that :func:`prepare` wrote; they stay there until they are looked at.

    Raises:
        KakusanError: The file is damaged, cut short, or another's.
    """
    try:
        with safe_open(path, framework="np") as file:
            about = file.metadata() or {}
            if about.get("format") == _FORMAT:
                small = {name: file.get_tensor(name) for name in file.keys() if name != "images"}  # noqa: SIM118
                if about.get("checksum", here := _checksum(small)) != here:
                    raise ValueError("its labels or captions are not those that were written")
                return Cached(path, _image_set(path, small, about), small.get("checksums"))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise KakusanError(
            f"{path} is damaged or cut short: {error} (prepare it anew: kakusan data prepare SOURCE -o {path})"
        ) from error
    raise KakusanError(f"{path} holds no images that kakusan data prepare wrote (give another source)")


def origin(path: Path) -> dict[str, Any] | None:
    """Returns the source and the wishes that a cache was made from; None where a file is no cache, or damaged."""
    with suppress(OSError, SafetensorError, KeyError, ValueError), safe_open(path, framework="np") as file:
        about = file.metadata() or {}
        if about.get("format") == _FORMAT:
            made_from: dict[str, Any] = json.loads(about["made_from"])
            return made_from
    return None


def _image_set(path: Path, small: Mapping[str, NDArray[Any]], about: Mapping[str, str]) -> ImageSet:
    return ImageSet(
        images=_mapped(path),
        labels=torch.from_numpy(small["labels"]) if "labels" in small else None,
        class_names=tuple(json.loads(about["class_names"])),
        name=about["name"],
        captions=_texts(small, "captions", "caption_ends"),
        names=_texts(small, "names", "name_ends"),
    )


def _texts(small: Mapping[str, NDArray[Any]], name: str, name_of_ends: str) -> tuple[str, ...]:
    if name not in small:
        return ()
    text, ends = small[name].tobytes(), small[name_of_ends].tolist()
    return tuple(text[start:end].decode("utf-8", "replace") for start, end in pairwise([0, *ends]))


def _mapped(path: Path) -> Tensor:
    """Returns the images of a file whose header is known to be sound, mapped for reading only.

    One that could be written to, as safetensors itself would give, is refused by Linux where it exceeds the memory.
    """
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        images = json.loads(file.read(length))["images"]
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if images["dtype"] != "U8":
        raise ValueError(f"its images are {images['dtype']}, not bytes")
    if hasattr(mapping, "madvise"):
        # A large file is read here and there, and what lies beside an image is not wanted next: six times as fast.
        mapping.madvise(mmap.MADV_WILLNEED if len(mapping) < _LARGE else mmap.MADV_RANDOM)
    pixels = np.frombuffer(mapping, np.uint8, math.prod(images["shape"]), 8 + length + images["data_offsets"][0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it must not be written to, which nobody does
        return torch.from_numpy(pixels.reshape(images["shape"]))


def _front(
    source: Source, kept: Sequence[int], shape: Shape, checksums: Sequence[int], made_from: dict[str, Any]
) -> tuple[bytes, bytes]:
    """Returns the header, and the tensors before the images: of the entries that were kept, of one shape (C, H, W)."""
    tensors: dict[str, NDArray[Any]] = {"checksums": np.array(checksums, np.int64)}
    if source.labels is not None:
        tensors["labels"] = np.array([source.labels[index] for index in kept], np.int64)
    for name, texts in (("caption", source.captions), ("name", _names(source))):
        if texts:
            parts = [texts[index].encode("utf-8", "replace") for index in kept]  # half an emoji is no text
            tensors[f"{name}_ends"] = np.cumsum([len(part) for part in parts], dtype=np.int64)
            text = b"".join(parts)
            tensors[f"{name}s"] = np.frombuffer(text.ljust(-(-len(text) // 8) * 8), np.uint8)  # the next stays aligned
    about = {"format": _FORMAT, "name": source.name, "checksum": _checksum(tensors)}
    about |= {"class_names": json.dumps(source.class_names), "made_from": json.dumps(made_from)}
    entries: dict[str, Any] = {"__metadata__": about}
    end = 0
    for name, array in tensors.items():
        start, end = end, end + array.nbytes
        entries[name] = {"dtype": _DTYPES[str(array.dtype)], "shape": array.shape, "data_offsets": [start, end]}
    images = (len(kept), *shape)
    entries["images"] = {"dtype": "U8", "shape": images, "data_offsets": [end, end + math.prod(images)]}
    return json.dumps(entries).encode(), b"".join(array.tobytes() for array in tensors.values())


def _names(source: Source) -> tuple[str, ...]:
    """Returns what the files of a source are called; nothing where there are none."""
    return source.images.names if isinstance(source, Held) else tuple(map(source.entry, range(len(source))))


def _checksum(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Returns the CRC-32 of what stands beside the images, in the order of its names."""
    found = 0
    for name in sorted(tensors):
        found = crc32(tensors[name].tobytes(), found)
    return f"{found:08x}"
