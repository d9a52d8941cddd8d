"""Images seen by networks, a chunk at a time: what they saw lies on the disk, so who was interrupted goes on."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import torch
from platformdirs import user_cache_path
from torch import Tensor

from kakusan.errors import KakusanError, counted
from kakusan.files import claimed, writing
from kakusan.progress import Bar, say
from kakusan.sampling import Progress
from kakusan.seeing.store import Store
from kakusan.seeing.stream import Seer, Stream

_SAMPLES, _REAL = "measuring", "measured"  # places in the cache
_LONG = 60.0  # seconds, of which a person is told beforehand
_MANY, _ROWS = 2**27, 1_000  # bytes that are not held in memory, and rows written at a time
_AWHILE = 5.0  # seconds, after which it is known how long the rest takes
_KEPT = {_SAMPLES: 30 * 86_400.0, _REAL: 180 * 86_400.0}  # seconds that what nobody asked for stays


@contextmanager
def seen(
    source: Stream, seers: Sequence[Seer], show: bool = True, progress: Progress | None = None
) -> Iterator[Mapping[str, Store]]:
    """Yields what networks see in all that a source holds, by the name of each network; then it is removed.

    It lies in the user's cache, under all that decides it, so memory does not grow with the images, and whoever is
    interrupted, here or in the block, goes on. Another process that sees the same images at this moment sees its own.

    Args:
        source: The images, or what else can be seen.
        seers: The networks.
        show: Whether to show progress.
        progress: Called as the images come, as far as their source tells.

    Raises:
        KakusanError: The disk refuses what was seen.
    """
    root = _swept(_SAMPLES)
    with ExitStack() as held:
        stores = {it.name: Store(_claimed_place(root, source, it, held), source.n, it.layers) for it in seers}
        _fill(stores, source, seers, show, progress)
        yield stores
        for store in stores.values():
            store.remove()


def _claimed_place(root: Path, source: Stream, seer: Seer, held: ExitStack) -> Path:
    """Returns where features of samples lie, this process's alone: under their name, unless somebody else is there, or
    they have none, for weights that were never saved may be any."""
    if source.provenance.get("weights_hash") != "":
        with suppress(KakusanError):
            directory = root / _key(source, seer)
            held.enter_context(claimed(directory))
            return directory
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        return Path(held.enter_context(TemporaryDirectory(dir=root, ignore_cleanup_errors=True)))


def seen_to_stay(source: Stream, seers: Sequence[Seer], show: bool = True) -> Mapping[str, Store]:
    """Returns what networks see in all images of a source, by the name of each network, for this time and later ones.

    What nobody has asked for in half a year is removed.

    Args:
        source, seers, show: As in :func:`seen`.

    Raises:
        KakusanError: Another process is seeing the same images, or the disk refuses what was seen.
    """
    root = _swept(_REAL)
    stores = {it.name: Store(root / _key(source, it), source.n, it.layers) for it in seers}
    for store in stores.values():
        with suppress(OSError):
            os.utime(store.directory)
    if all(store.whole for store in stores.values()):
        return stores
    with ExitStack() as held:
        for store in stores.values():
            held.enter_context(claimed(store.directory))
        # Again, for somebody else may have added to them before they were this process's alone.
        stores = {it.name: Store(stores[it.name].directory, source.n, it.layers) for it in seers}
        _fill(stores, source, seers, show)
    return stores


def rows(features: Tensor, which: Tensor) -> Tensor:
    """Returns some rows of features, shape (n, D), by number; where they are many, mapped from a file without a name.

    Raises:
        KakusanError: The disk refuses them.
    """
    count, dimensions = len(which), features.shape[1]
    if count * dimensions * features.itemsize < _MANY:
        return features[which]
    place = _cache(user_cache_path("kakusan"))
    with writing(place), NamedTemporaryFile(dir=place) as file:
        for part in torch.split(which, _ROWS):
            file.write(features[part].numpy().tobytes())
        file.flush()
        taken = torch.from_file(file.name, shared=True, size=count * dimensions, dtype=features.dtype)
    return taken.view(count, dimensions)


def _fill(
    stores: Mapping[str, Store],
    source: Stream,
    seers: Sequence[Seer],
    show: bool,
    progress: Progress | None = None,
) -> None:
    done = min(store.done for store in stores.values())
    with Bar(f"measuring {source.name}", source.n, done, show=show) as bar:
        told = _Teller(source, done, show)

        def report(parts: int, total: int) -> None:
            bar.update(source.n * parts // total)
            told(parts / total, seen=False)
            if progress is not None:
                progress(parts, total)

        chunks = source.chunks(done, report)
        while done < source.n:
            started = time.perf_counter()
            given = next(chunks)
            seconds = time.perf_counter() - started
            for seer in seers:
                if stores[seer.name].done == done:
                    stores[seer.name].add(seer(*given), seconds)
            done += len(given[0])
            bar.update(done)
            told(done / source.n, seen=True)


class _Teller:
    """Says, as soon as it is known, how long the images that are left will take, where that is long: to draw, and then
    to be seen as well.

    Args:
        source: The images.
        done: How many of them had been seen before.
        show: Whether to say anything.
    """

    def __init__(self, source: Stream, done: int, show: bool) -> None:
        self._source, self._first = source, done / max(1, source.n)
        self._unsaid = {"more to draw, and then to be seen", "more"} if show else set()
        self._started = time.perf_counter()

    def __call__(self, share: float, *, seen: bool) -> None:
        """Takes the share of all that is done, and whether of that all was seen as well."""
        spent, what = time.perf_counter() - self._started, "more" if seen else "more to draw, and then to be seen"
        if what not in self._unsaid or spent < _AWHILE or share <= self._first:
            return
        self._unsaid = set() if seen else self._unsaid - {what}
        left = spent / (share - self._first) * (1 - share)
        if left > _LONG:
            images = f"{counted(self._source.n, 'image')} of {self._source.name}"
            say(f"{images} will take about {timedelta(seconds=round(left))} {what}")


def _key(source: Stream, seer: Seer) -> str:
    """Returns a name that two share only where what is seen would be the same."""
    names = ("images", "reference")  # what images are called decides nothing
    decided = {name: value for name, value in source.provenance.items() if name not in names}
    decided |= {"n": source.n, "features": seer.name, "resize": seer.resize, "seen on": seer.device.type}
    decided |= {"library": seer.library, "torch": torch.__version__}
    return sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:24]


def _swept(place: str) -> Path:
    """Returns a place in the cache, without what was left there long ago."""
    root = _cache(user_cache_path("kakusan")) / place
    with suppress(OSError):
        for directory in root.iterdir():
            if time.time() - directory.stat().st_mtime > _KEPT[place]:
                with suppress(KakusanError), claimed(directory):
                    shutil.rmtree(directory, ignore_errors=True)
    return root


@cache
def _cache(directory: Path) -> Path:
    """Returns the user's cache, or, where nothing can be written, a place that lasts as long as this process."""
    try:
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
            TemporaryDirectory(dir=directory).cleanup()
    except KakusanError:
        return Path(_temporary().name)
    return directory


@cache
def _temporary() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="kakusan-")
