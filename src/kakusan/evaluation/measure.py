"""Published metrics of images, drawn or stored: seen once by every network, in a stream that can be interrupted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path
from torch import Tensor

from kakusan import pictures, seeds
from kakusan.errors import KakusanError, counted
from kakusan.evaluation import statistics
from kakusan.evaluation.copies import nearest
from kakusan.evaluation.features import Extractor, extractor
from kakusan.evaluation.formulas import FORMULAS, Estimate, Formula
from kakusan.evaluation.moments import Moments
from kakusan.evaluation.sources import Source
from kakusan.evaluation.statistics import Statistics
from kakusan.evaluation.store import Store
from kakusan.files import claimed
from kakusan.progress import Bar, say
from kakusan.results import Measurement

_DRAWN = 10  # pairs of a sample and the real image nearest to it
_LONG = 60.0  # seconds, of which a person is told beforehand
_SAMPLES, _REAL = "measuring", "measured"  # in the cache: until a measurement is done, and for the next one


def measure(
    samples: Source,
    real: Source | Statistics | None,
    metrics: Sequence[str],
    *,
    weights: Path | None = None,
    offline: bool = False,
    device: torch.device,
    keep: Path | None = None,
    draw_nearest: Path | None = None,
    show: bool = True,
) -> list[Measurement]:
    """Measures images, those of a model as they are drawn.

    Features lie on the disk, so memory does not grow with the images; whoever interrupts it and asks again goes on. The
    features of real images stay in the user's cache, under all that decides them.

    Args:
        samples: What is measured.
        real: What it is compared with; of statistics, the Fréchet distance alone is known.
        metrics: Names out of :data:`~kakusan.evaluation.formulas.FORMULAS`.
        weights: A place with pretrained weights of the user's own.
        offline: Never touch the network of computers.
        device: Where features are computed.
        keep: A file that keeps the statistics of the samples, for a Fréchet distance from them another time.
        draw_nearest: A PNG of the samples nearest to a real image, each above that image.
        show: Whether to show progress.

    Raises:
        KakusanError: The weights of a metric are wanting; images are too few, or unlike each other.
    """
    formulas = {name: FORMULAS[name] for name in metrics}
    _require_alike(samples, real, formulas)
    networks = {formula.network for formula in formulas.values()}
    extractors = [extractor(kind, weights, device=device, offline=offline, show=show) for kind in sorted(networks)]
    told, told_real = samples.told, real.told if real is not None else {}
    seen_real: Mapping[str, Store] = {}
    if isinstance(real, Statistics):
        for seer in extractors:
            if FORMULAS["fid"].layer in seer.layers:
                real.require(seer.name, seer.layers[FORMULAS["fid"].layer])
    elif real is not None:  # first: where somebody else is seeing the same ones, that is known before samples are drawn
        seen_real = _seen(real, told_real, extractors, _REAL, show)
    seen = _seen(samples, told, extractors, _SAMPLES, show)
    remarks = []
    if isinstance(real, Statistics) and real.features is None:
        remarks = [f"{real.name} does not say which network saw its images: the distance may be of another kind"]
    found: list[Measurement] = []
    for name, formula in formulas.items():
        seer = next(it for it in extractors if it.kind == formula.network)
        protocol = {
            "metric": name,
            "n": samples.n,
            **told,
            **({"reference" + key.removeprefix("images"): value for key, value in told_real.items()}),
            "resize": seer.resize,
            "features": seer.name,
            "layer": formula.layer,
            "library": seer.library,
            "kakusan": version("kakusan"),
            "torch": torch.__version__,
        }
        theirs: Tensor | Moments | None = real.moments if isinstance(real, Statistics) else None
        if seen_real:
            theirs = seen_real[seer.name][formula.layer]
        found += _measured(formula, seen[seer.name][formula.layer], theirs, protocol, remarks)
    if keep is not None:
        seer = next(it for it in extractors if FORMULAS["fid"].layer in it.layers)
        statistics.save(keep, Moments.of(seen[seer.name][FORMULAS["fid"].layer]), seer.name)
    if draw_nearest is not None and seen_real and not isinstance(real, Statistics) and real is not None:
        seer = next(it for it in extractors if it.kind == FORMULAS["copies"].network)
        layer = FORMULAS["copies"].layer
        close = nearest(seen[seer.name][layer], seen_real[seer.name][layer])
        which = close.distances.argsort()[:_DRAWN]
        both = torch.cat([samples.at(which), real.at(close.indices[which])])
        pictures.save(draw_nearest, pictures.legible(pictures.grid(both, len(which)), both.shape[-1]))
    for store in seen.values():
        store.remove()
    return found


def see(real: Source, extractors: Sequence[Extractor], show: bool = True) -> None:
    """Keeps what networks see in real images in the user's cache, so that measurements find it there.

    Args:
        real: They.
        extractors: The networks.
        show: Whether to show progress.
    """
    _seen(real, real.told, extractors, _REAL, show)


def _require_alike(samples: Source, real: Source | Statistics | None, formulas: Mapping[str, Formula]) -> None:
    for name, formula in formulas.items():
        if formula.compares and real is None:
            raise KakusanError(f"{name} compares with real images: say which (--against)")
        if formula.compares and isinstance(real, Statistics) and not formula.of_moments:
            raise KakusanError(f"{name} needs the images themselves, and {real.name} holds statistics (give images)")
        for source in (samples, *([real] if formula.compares and real is not None else [])):
            if source.n is not None and source.n < formula.fewest:
                raise KakusanError(
                    f"{name} needs at least {counted(formula.fewest, 'image')}, and {source.name} has {source.n}"
                )
    if real is not None and not isinstance(real, Statistics) and real.shape != samples.shape:
        raise KakusanError(
            f"{samples.name} holds images of shape {tuple(samples.shape)}, {real.name} of {tuple(real.shape)}: "
            "compare like with like"
        )


def _seen(
    source: Source, told: Mapping[str, Any], extractors: Sequence[Extractor], place: str, show: bool
) -> dict[str, Store]:
    """Returns the features of all images of a source, by the name of who saw them."""
    stores = {seer.name: _store(source, told, seer, place) for seer in extractors}
    if all(store.whole for store in stores.values()):
        return stores
    with ExitStack() as held:
        for store in stores.values():
            held.enter_context(claimed(store.directory))
        return _filled(source, told, extractors, place, show)


def _filled(
    source: Source, told: Mapping[str, Any], extractors: Sequence[Extractor], place: str, show: bool
) -> dict[str, Store]:
    """Sees what has not been seen yet; the places are this process's alone meanwhile."""
    stores = {seer.name: _store(source, told, seer, place) for seer in extractors}
    done = min(store.done for store in stores.values())
    started, first = time.perf_counter(), done
    with Bar(f"measuring {source.name}", source.n, done, show=show) as bar:
        for images, labels in source.chunks(done):
            for seer in extractors:
                store = stores[seer.name]
                if store.done == done:
                    store.add(seer(images, labels))
            done += len(images)
            if show and done - len(images) == first:
                _tell_time(source, done - first, time.perf_counter() - started)
            bar.update(done)
    return stores


def _tell_time(source: Source, done: int, seconds: float) -> None:
    left = seconds / done * (source.n - done)
    if left > _LONG:
        say(f"{counted(source.n, 'image')} of {source.name} will take about {timedelta(seconds=round(left))}")


def _store(source: Source, told: Mapping[str, Any], seer: Extractor, place: str) -> Store:
    """Returns where features lie, under a name that two share only where they would be the same."""
    decided = {name: value for name, value in told.items() if name != "images"}  # what they are called
    decided |= {"n": source.n, "features": seer.name, "resize": seer.resize, "seen on": seer.device.type}
    decided |= {"library": seer.library, "torch": torch.__version__}
    key = sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:24]
    return Store(user_cache_path("kakusan") / place / key, source.n, seer.layers)


def _measured(
    formula: Formula,
    samples: Tensor,
    real: Tensor | Moments | None,
    protocol: Mapping[str, Any],
    remarks: Sequence[str],
) -> Iterator[Measurement]:
    """Yields what a formula finds, beside what it finds of real images alone."""
    estimates = formula.measure(samples, real) if formula.compares else formula.measure(samples)
    floors, each = _floors(formula, real, len(samples)) if isinstance(real, Tensor) else ({}, None)
    for name, estimate in estimates.items():
        yield Measurement(
            metric=name,
            value=estimate.value,
            interval=estimate.interval,
            infinity=estimate.infinity,
            noise_floor=floors[name].value if floors else None,
            noise_floor_n=each,
            protocol={**protocol, "metric": name},
            remarks=[*_remarks(formula, samples), *_remarks(formula, real), *remarks],
        )


def _floors(formula: Formula, real: Tensor, n: int) -> tuple[Mapping[str, Estimate], int | None]:
    """Returns what real images score, against all others where the formula compares, and how many they were."""
    order = torch.randperm(len(real), generator=seeds.generator(0, "noise floor"))
    if not formula.compares:
        each = min(n, len(real))
        return formula.measure(real[order[:each]], doubt=False), each
    each = min(n, len(real) // 2)
    if each < formula.fewest:
        return {}, None
    return formula.measure(real[order[:each]], real[order[each:]], doubt=False), each


def _remarks(formula: Formula, images: Tensor | Moments | None) -> list[str]:
    if formula.measure is not FORMULAS["fid"].measure or not isinstance(images, Tensor):
        return []  # statistics need not say of how many images they are
    n, dimensions = images.shape
    if n > dimensions:
        return []
    return [
        f"{counted(n, 'image')} are too few for {dimensions} features, whose covariance they cannot span: this "
        f"distance says little (measure more than {dimensions})"
    ]
