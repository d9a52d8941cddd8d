"""Pretrained weights that measurements stand on: where they lie, whether they are whole, and how to come by them."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar
from urllib.error import URLError

import torch
from torch import Tensor

from kakusan.errors import KakusanError
from kakusan.files import sha256_of, writing

_MEGABYTE = 1_000_000
_ABOUT = 0.01  # by which a size may differ from that which was published
_TENSORS = "model.safetensors"


@dataclass(frozen=True)
class Pretrained:
    """A published file of weights.

    Attributes:
        file: Its name, which torch hub's cache and ``--weights`` know it by.
        url: Where it is published.
        sha256: The leading digits of its hash, as published.
        size: Bytes, about.
        shapes: Some of its tensors, by which another network's file is told from it.
        network: What it is.
    """

    file: str
    url: str
    sha256: str
    size: int
    shapes: Mapping[str, tuple[int, ...]]
    network: str

    @property
    def cached(self) -> Path:
        """Where torch hub keeps it, and with it torch-fidelity and torchvision."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file

    @property
    def place(self) -> str:
        """Where it goes, for people."""
        return str(self.cached.parent)

    def find(self, directory: Path | None = None) -> Path | None:
        """Returns its file, in a place of the user's own, looked into first, or in torch hub's cache; None where it is
        missing."""
        places = [*([directory / self.file] if directory is not None else []), self.cached]
        return next((place for place in places if place.is_file()), None)

    def own(self, directory: Path) -> Path | None:
        """Returns its folder in a place of the user's own; None where it is missing."""
        places = (directory / self.file, directory / _BESIDE, directory)
        return next((folder for folder in places if (folder / _TENSORS).is_file()), None)

    def weights_at(self, path: Path) -> Path:
        """Returns the file whose hash was published."""
        return path


_VISION = "https://download.pytorch.org/models"
_FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0"

PRETRAINED = MappingProxyType(
    {
        "inception": Pretrained(
            "weights-inception-2015-12-05-6726825d.pth",
            f"{_FIDELITY}/weights-inception-2015-12-05-6726825d.pth",
            "6726825d",
            95_628_359,
            {"Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "fc.weight": (1008, 2048)},
            "torch-fidelity's Inception-v3 of 2015",
        ),
        "vgg16": Pretrained(
            "vgg16-397923af.pth",
            f"{_VISION}/vgg16-397923af.pth",
            "397923af",
            553_433_881,
            {"features.0.weight": (64, 3, 3, 3), "classifier.6.weight": (1000, 4096)},
            "VGG16 of torchvision",
        ),
        "alexnet": Pretrained(
            "alexnet-owt-7be5be79.pth",
            f"{_VISION}/alexnet-owt-7be5be79.pth",
            "7be5be79",
            244_408_911,
            {"features.0.weight": (64, 3, 11, 11), "classifier.6.weight": (1000, 4096)},
            "AlexNet of torchvision",
        ),
    }
)


@dataclass(frozen=True)
class Repository:
    """A published model of the Hugging Face hub, of one revision: a folder, whose weights are safetensors.

    Attributes:
        name: ``owner/name``.
        revision: Which.
        sha256: The hash of its weights, as published.
        size: Bytes of them.
        network: What it is.
    """

    name: str
    revision: str
    sha256: str
    size: int
    network: str
    place: ClassVar[str] = "the cache of the Hugging Face hub"

    @property
    def file(self) -> str:
        """What its folder is called in a place of the user's own."""
        return self.name.rpartition("/")[2]

    @property
    def url(self) -> str:
        """Where it is published."""
        return f"https://huggingface.co/{self.name}"

    def find(self, directory: Path | None = None) -> Path | None:
        """Returns its folder, in a place of the user's own, looked into first, or in the hub's cache; None where it is
        missing. A place of the user's own may be such a folder itself, or a pipeline of ours that has one beside it."""
        if directory is not None and (own := self.own(directory)) is not None:
            return own
        try:
            from huggingface_hub import try_to_load_from_cache
        except ImportError:
            return None
        there = try_to_load_from_cache(self.name, _TENSORS, revision=self.revision)
        return Path(there).parent if isinstance(there, str) else None

    def own(self, directory: Path) -> Path | None:
        """Returns its folder in a place of the user's own; None where it is missing."""
        places = (directory / self.file, directory / _BESIDE, directory)
        return next((folder for folder in places if (folder / _TENSORS).is_file()), None)

    def weights_at(self, path: Path) -> Path:
        """Returns the file whose hash was published."""
        return path / _TENSORS


CLIP = Repository(
    "openai/clip-vit-large-patch14",
    "32bd64288804d66eefd0ccbe215aa642df71cc41",
    "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
    1_710_540_580,
    "CLIP ViT-L/14 of OpenAI",
)
PUBLISHED: Mapping[str, Pretrained | Repository] = MappingProxyType({**PRETRAINED, "clip": CLIP})
"""All that is known here."""
_BESIDE = "clip"  # where the CLIP of a pipeline of ours lies
_CLIP_FILES = ["*.json", "merges.txt", "model.safetensors"]


@dataclass(frozen=True)
class Folder:
    """A model of the hub that was found and checked.

    Attributes:
        path: Its folder.
        sha256: The hash of its weights.
    """

    path: Path
    sha256: str


def obtain_repository(
    wanted: Repository, directory: Path | None = None, *, offline: bool = False, show: bool = True
) -> Folder:
    """Returns a model of the hub: from ``directory``, from the hub's cache, or downloaded into that.

    What the cache holds, or the network sends, must have the published hash. What the user gives may differ.

    Args:
        wanted: Which.
        directory: A place of the user's own.
        offline: Never touch the network.
        show: Whether to show the progress of a download.

    Raises:
        KakusanError: It is missing and cannot be had, or has another hash.
    """
    path = wanted.find(directory)
    where = (
        f"get {wanted.url} ({wanted.size / _MEGABYTE:.0f} MB of {_TENSORS}, and its other files) and put it into "
        f"DIR/{wanted.file} of --weights DIR"
    )
    if path is None:
        if offline:
            raise KakusanError(f"{wanted.network} is missing, and may not be downloaded: {where}")
        path = _snapshot(wanted, where, show)
    weights = wanted.weights_at(path)
    digest = sha256_of([weights])
    if directory is None or not path.is_relative_to(directory):
        _require_published(weights, digest, wanted.sha256)
    return Folder(path, digest)


def _snapshot(wanted: Repository, where: str, show: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    enable_progress_bars() if show else disable_progress_bars()
    try:
        return Path(snapshot_download(wanted.name, revision=wanted.revision, allow_patterns=_CLIP_FILES))
    except Exception as error:  # its errors are of several libraries, by version
        raise KakusanError(f"{wanted.network} cannot be downloaded ({error}): {where}") from error


@dataclass(frozen=True)
class Weights:
    """Weights that were found, read and checked.

    Attributes:
        path: Their file.
        sha256: Its hash, in full.
        state: The tensors, on the CPU.
    """

    path: Path
    sha256: str
    state: Mapping[str, Tensor]


def find(name: str, directory: Path | None = None) -> Path | None:
    """Returns the file of some pretrained weights, in ``directory`` or in torch hub's cache; None where it is missing.

    Args:
        name: One of :data:`PRETRAINED`.
        directory: A place of the user's own, looked into first.
    """
    return PRETRAINED[name].find(directory)


def require_some(names: Collection[str], directory: Path | None) -> None:
    """Refuses a place of the user's own that is not there, or holds none of some pretrained weights: whoever names one
    means to measure by what is in it.

    Args:
        names: Out of :data:`PUBLISHED`.
        directory: The place, if one was named.

    Raises:
        KakusanError: There is nothing of that.
    """
    if directory is None:
        return
    require_place(directory)
    files = [PUBLISHED[name].file for name in names]
    ours = "clip" in names and CLIP.own(directory) is not None
    if files and not ours and not any((directory / file).exists() for file in files):
        raise KakusanError(f"{directory} holds none of {', '.join(files)} (put them there, or leave out --weights)")


def require_place(directory: Path | None) -> None:
    """Refuses a place of the user's own that is no directory.

    Raises:
        KakusanError: It is none.
    """
    if directory is not None and not directory.is_dir():
        raise KakusanError(f"there is no directory {directory} (check the path of --weights)")


def obtain(name: str, directory: Path | None = None, *, offline: bool = False, show: bool = True) -> Weights:
    """Returns some pretrained weights: from ``directory``, from torch hub's cache, or downloaded into that.

    What lies in the cache, or comes from the network, must have the published hash. What the user gives may differ.
    Nothing is ever unpickled that could run.

    Args:
        name: One of :data:`PRETRAINED`.
        directory: A place of the user's own.
        offline: Never touch the network.
        show: Whether to show the progress of a download.

    Raises:
        KakusanError: The file is missing and cannot be had; it is cut short, of another network or another hash.
    """
    wanted = PRETRAINED[name]
    path = find(name, directory)
    if path is None:
        if offline:
            raise missing(name)
        path = _download(name, show)
    digest = sha256_of([path])
    if path == wanted.cached:
        _require_published(path, digest, wanted.sha256)
    return Weights(path, digest, _read(path, wanted))


def damaged(wanted: Pretrained | Repository, path: Path) -> bool:
    """Whether what lies in a cache is plainly not what was published, by its size: its hash, which is asked for when it
    is read, would take long. Of a place of the user's own nobody knows."""
    size = wanted.weights_at(path).stat().st_size
    return path == wanted.find() and abs(size - wanted.size) > _ABOUT * wanted.size


def _require_published(path: Path, digest: str, published: str) -> None:
    if not digest.startswith(published):
        raise KakusanError(
            f"{path} has the hash {digest[:8]}…, and the published file {published[:8]}…: "
            "it is cut short, or another one (remove it, or give yours with --weights)"
        )


def missing(name: str) -> KakusanError:
    """Returns the error for weights that are not there and may not be downloaded."""
    return KakusanError(f"{PRETRAINED[name].network} is missing, and may not be downloaded: {where_from(name)}")


def where_from(name: str) -> str:
    """Returns a sentence on where a missing file comes from and where it goes."""
    wanted = PRETRAINED[name]
    return (
        f"get {wanted.url} ({wanted.size / _MEGABYTE:.0f} MB) and put it into {wanted.cached.parent}, or --weights DIR"
    )


def _download(name: str, show: bool) -> Path:
    wanted = PRETRAINED[name]
    with writing(wanted.cached):
        wanted.cached.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(wanted.url, str(wanted.cached), wanted.sha256, progress=show)
        # OSErrors too, most of them, but none of the disk.
        except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
            why = getattr(error, "reason", error)
            raise KakusanError(f"{wanted.network} cannot be downloaded ({why}): {where_from(name)}") from error
        except RuntimeError as error:  # of torch hub, for a hash
            raise KakusanError(f"{wanted.url} came with another hash than {wanted.sha256}… (try again)") from error
    return wanted.cached


# Older files that end too early make the unpickler raise almost anything.
_CUT_SHORT = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    IndexError,
    KeyError,
    struct.error,
)


def _read(path: Path, wanted: Pretrained) -> Mapping[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _CUT_SHORT as error:
        raise KakusanError(
            f"{path} is cut short, or holds more than weights, and was not opened (get it from {wanted.url})"
        ) from error
    weights = state if isinstance(state, Mapping) else {}
    shapes = {key: tuple(value.shape) for key, value in weights.items() if isinstance(value, Tensor)}
    for key, shape in wanted.shapes.items():
        if shapes.get(key) != shape:
            raise KakusanError(
                f"{path} is not {wanted.network}: {key} should have the shape {shape}, "
                f"not {shapes.get(key, 'be missing')} (get it from {wanted.url})"
            )
    return dict(state)
