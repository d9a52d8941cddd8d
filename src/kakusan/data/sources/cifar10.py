"""CIFAR-10: 50,000 colour pictures of 32×32 pixels in ten classes, its training set, from either official form.

The batches in Python's form are pickles, which can do anything to whoever reads them; ours admit an array of bytes and
nothing else. The binary form, where there is one, is preferred.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import codecs
import io
import pickle
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path

from kakusan.data.images import ImageSet
from kakusan.data.trees import Archive, Folder, Tree, read_whole
from kakusan.errors import KakusanError, reason_of
from kakusan.files import atomic_path
from kakusan.progress import say

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")

_BATCHES = 5
_IN_BATCH = 10_000
_SHAPE = (3, 32, 32)
_BYTES = 3 * 32 * 32
_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"


def cifar10() -> ImageSet:
    """Returns CIFAR-10 from the user's cache directory, where it is downloaded to first if need be.

    Raises:
        KakusanError: It is not there and cannot be downloaded, or is damaged.
    """
    directory = _directory()
    there = _there(directory)
    return read_cifar10(there if there is not None else Archive(_download(directory)))


def is_here() -> bool:
    """Whether CIFAR-10 is in the user's cache directory."""
    return _there(_directory()) is not None


def _directory() -> Path:
    return user_cache_path("kakusan") / "cifar10"


def _there(directory: Path) -> Tree | None:
    packed = next((directory / name for name in ARCHIVES if (directory / name).exists()), None)
    if packed is not None:
        return Archive(packed)
    return unpacked if directory.exists() and holds_cifar10(unpacked := Folder(directory)) else None


def holds_cifar10(tree: Tree) -> bool:
    """Whether a folder or an archive holds batches of CIFAR-10, in either form."""
    return any(PurePosixPath(name).name in ("data_batch_1", "data_batch_1.bin") for name in tree.names)


def read_cifar10(tree: Tree) -> ImageSet:
    """Returns CIFAR-10 from a folder or an archive that holds its batches at any depth.

    Raises:
        KakusanError: A batch is missing, cut short, or no batch.
    """
    binary = any(PurePosixPath(name).name == "data_batch_1.bin" for name in tree.names)
    batches = [_batch(tree, f"data_batch_{number}", binary) for number in range(1, _BATCHES + 1)]
    pixels, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return ImageSet(
        images=torch.from_numpy(pixels.reshape(-1, *_SHAPE)),
        labels=torch.from_numpy(labels),
        class_names=CLASSES,
        name="cifar10",
    )


def _batch(tree: Tree, batch: str, binary: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns the pixels of a batch, shape (n, 3072), and its labels, shape (n,)."""
    file = f"{batch}.bin" if binary else batch
    name = next((name for name in tree.names if PurePosixPath(name).name == file), None)
    if name is None:
        raise KakusanError(f"{tree.path} holds CIFAR-10 without {file} (get the archive anew, from {_PAGE})")
    where = tree.path / name
    pixels, labels = (_binary if binary else _pickled)(where, read_whole(tree, name))
    if pixels.shape != (len(labels), _BYTES) or len(labels) == 0:
        raise KakusanError(
            f"{where} holds {len(labels):,} labels for pixels of shape {pixels.shape}, where every label needs "
            f"{_BYTES} bytes (get the archive anew, from {_PAGE})"
        )
    if len(labels) != _IN_BATCH:
        raise KakusanError(
            f"{where} holds {len(labels):,} images, where a batch of CIFAR-10 holds {_IN_BATCH:,}: it may be cut short "
            f"(get the archive anew, from {_PAGE}; a part of it is read as a folder of images)"
        )
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise KakusanError(f"{where} holds labels from {labels.min()} to {labels.max()}, where classes are 0 to 9")
    return pixels, labels


def _binary(where: Path, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rows, rest = divmod(len(content), 1 + _BYTES)
    if rest:
        raise KakusanError(
            f"{where} is cut short: {len(content):,} bytes are no whole number of images, {1 + _BYTES} bytes each "
            f"(get the archive anew, from {_PAGE})"
        )
    records = np.frombuffer(content, np.uint8).reshape(rows, 1 + _BYTES)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _pickled(where: Path, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        return batch["data"].pixels, np.asarray(batch["labels"], np.int64)
    except KakusanError as error:
        raise KakusanError(f"{where} {error}") from error
    # What is no batch makes an unpickler raise almost anything.
    except Exception as error:
        raise KakusanError(
            f"{where} is cut short or no batch of CIFAR-10: {reason_of(error)} (get the archive anew, from {_PAGE})"
        ) from error


class _Unpickler(pickle.Unpickler):
    """Reads an array of bytes in dictionaries, lists, numbers and text; whatever else is named is refused, not run."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct"):
                return _array
            case ("numpy", "ndarray"):
                return "ndarray"  # only ever an argument of the function above
            case ("numpy", "dtype"):
                return _byte
            case ("_codecs", "encode"):
                return _encode
        raise KakusanError(
            f"asks for {module}.{name}, which no batch of CIFAR-10 does: it may run code, and nothing of it was run "
            f"(get the archive from {_PAGE})"
        )


class _Array:
    """Stands for an array of bytes while it is unpickled: numpy's own believes whatever state it is given."""

    pixels: NDArray[np.uint8]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, _, transposed, content = state
        raw = content.encode("latin1") if isinstance(content, str) else content
        self.pixels = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if transposed else "C")


class _Byte:
    """Stands for the kind of its numbers."""

    def __setstate__(self, state: object) -> None:
        """Passes over byte order and the like, which bytes have none of."""


def _array(*_: object) -> _Array:
    return _Array()


def _byte(code: str, *_: object) -> _Byte:
    if code != "u1":
        raise ValueError(f"its pixels are {code}, not bytes")
    return _Byte()


def _encode(text: str, encoding: str) -> bytes:
    if codecs.lookup(encoding).name != "iso8859-1":
        raise ValueError(f"its bytes are written in {encoding}, not in latin1")
    return text.encode("latin1")


def _download(directory: Path) -> Path:
    """Brings the archive into a directory, by torchvision, which knows its address and its checksum."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_url

    path = directory / str(CIFAR10.filename)
    say(f"downloading CIFAR-10, 163 MiB, into {directory}")
    with atomic_path(path) as temporary:
        try:
            download_url(CIFAR10.url, str(directory), temporary.name, CIFAR10.tgz_md5)
        # No network, a page of a proxy's in place of the file: each has an error of its own.
        except Exception as error:
            reason = getattr(error, "reason", error)
            raise KakusanError(
                f"CIFAR-10 cannot be downloaded: {getattr(reason, 'strerror', None) or reason} "
                f"(put {' or '.join(ARCHIVES)} from {_PAGE} into {directory}, or give its path as --data.source)"
            ) from error
    return path
