"""Images seen by networks, a chunk at a time: what they saw lies on the disk, so who was interrupted goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import torch
from platformdirs import user_cache_path

from kakusan.errors import KakusanError, counted
from kakusan.evaluation.features import Extractor
from kakusan.evaluation.sources import Source
from kakusan.evaluation.store import Store
from kakusan.files import claimed, is_claimed, writing
from kakusan.progress import Bar, say

SAMPLES, REAL = "measuring", "measured"
"""Places in the cache: of what is removed once it is measured, and of what stays for the next time."""

_LONG = 60.0  # seconds, of which a person is told beforehand


def see(source: Source, extractors: Sequence[Extractor], place: str, show: bool = True) -> Mapping[str, Store]:
    """Returns what networks see in all images of a source, by the name of each network.

    It lies in the user's cache, under all that decides it, so memory does not grow with the images.

    Args:
        source: The images.
        extractors: The networks.
        place: :data:`SAMPLES` or :data:`REAL`.
        show: Whether to show progress.

    Raises:
        KakusanError: Another process is seeing the same real images, or the disk refuses what was seen.
    """
    stores = {it.name: Store(_directory(source, it, place), source.n, it.layers) for it in extractors}
    if all(store.whole for store in stores.values()):
        return stores
    with ExitStack() as held:
        for store in stores.values():
            held.enter_context(claimed(store.directory))
        # Again, for somebody else may have added to them before they were this process's alone.
        stores = {it.name: Store(stores[it.name].directory, source.n, it.layers) for it in extractors}
        _fill(stores, source, extractors, show)
    return stores


def _fill(stores: Mapping[str, Store], source: Source, extractors: Sequence[Extractor], show: bool) -> None:
    first = done = min(store.done for store in stores.values())
    started = time.perf_counter()
    with Bar(f"measuring {source.name}", source.n, done, show=show) as bar:
        for images, labels in source.chunks(done):
            for seer in extractors:
                if stores[seer.name].done == done:
                    stores[seer.name].add(seer(images, labels))
            done += len(images)
            if show and done - len(images) == first:
                _tell_time(source, done, (time.perf_counter() - started) / len(images))
            bar.update(done)


def _tell_time(source: Source, done: int, each: float) -> None:
    left = each * (source.n - done)
    if left > _LONG:
        say(f"{counted(source.n, 'image')} of {source.name} will take about {timedelta(seconds=round(left))}")


def _directory(source: Source, seer: Extractor, place: str) -> Path:
    """Returns where features lie, under a name that two share only where they would be the same."""
    decided = {name: value for name, value in source.told.items() if name != "images"}  # what they are called
    decided |= {"n": source.n, "features": seer.name, "resize": seer.resize, "seen on": seer.device.type}
    decided |= {"library": seer.library, "torch": torch.__version__}
    if decided.get("weights_hash") == "":  # weights that were never saved may be any
        decided["weights_hash"] = uuid4().hex
    key = sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:24]
    directory = _cache(user_cache_path("kakusan")) / place / key
    # Another process may be measuring the same samples at this moment: then these are seen apart.
    return directory.with_name(uuid4().hex) if place == SAMPLES and is_claimed(directory) else directory


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
