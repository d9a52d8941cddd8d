"""Published metrics of images, drawn or stored: seen once by every network, in a stream that can be interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kakusan import pictures, seeds
from kakusan.errors import KakusanError, counted
from kakusan.evaluation import statistics
from kakusan.evaluation.copies import nearest
from kakusan.evaluation.features import Extractor, extractor
from kakusan.evaluation.formulas import FORMULAS, Estimate, Formula
from kakusan.evaluation.moments import Moments
from kakusan.evaluation.seeing import REAL, SAMPLES, see
from kakusan.evaluation.sources import Drawn, Source, Stored
from kakusan.evaluation.statistics import Statistics
from kakusan.evaluation.store import Store
from kakusan.results import Measurement

_DRAWN = 10  # pairs of a sample and the real image nearest to it


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
    seers = {
        kind: extractor(kind, weights, device=device, offline=offline, show=show)
        for kind in sorted({formula.network for formula in formulas.values()})
    }
    seen_real: Mapping[str, Store] = {}
    if isinstance(real, Statistics):
        for seer in seers.values():
            if FORMULAS["fid"].layer in seer.layers:
                real.require(seer.name, seer.layers[FORMULAS["fid"].layer])
    elif real is not None:  # first: where somebody else is seeing the same ones, that is known before samples are drawn
        seen_real = see(real, list(seers.values()), REAL, show)
    seen = see(samples, list(seers.values()), SAMPLES, show)

    held_out = real.held_out if isinstance(real, Stored) else None
    remarks = real.remarks if isinstance(real, Statistics) else []
    found: list[Measurement] = []
    for name, formula in formulas.items():
        seer = seers[formula.network]
        theirs: Tensor | Moments | None = real.moments if isinstance(real, Statistics) else None
        if seen_real:
            theirs = seen_real[seer.name][formula.layer]
        protocol = {**_protocol(seer, samples, real), "layer": formula.layer}
        found += _measured(name, seen[seer.name][formula.layer], theirs, held_out, protocol, remarks)
    if keep is not None:
        fid = FORMULAS["fid"]
        seer = seers[fid.network]
        statistics.save(keep, Moments.of(seen[seer.name][fid.layer]), seer.name)
    if draw_nearest is not None and isinstance(real, (Stored, Drawn)):
        formula = next(it for it in formulas.values() if it.of_training)
        name = seers[formula.network].name
        close = nearest(seen[name][formula.layer], seen_real[name][formula.layer])
        which = close.distances.argsort()[:_DRAWN]
        both = torch.cat([samples.at(which), real.at(close.indices[which])])
        pictures.save(draw_nearest, pictures.legible(pictures.grid(both, len(which)), both.shape[-1]))
    for store in seen.values():
        store.remove()
    return found


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


def _protocol(seer: Extractor, samples: Source, real: Source | Statistics | None) -> dict[str, Any]:
    theirs = {} if real is None else real.told
    return {
        "metric": "",
        "n": samples.n,
        **samples.told,
        **{"reference" + key.removeprefix("images"): value for key, value in theirs.items()},
        "resize": seer.resize,
        "features": seer.name,
        "library": seer.library,
        "kakusan": version("kakusan"),
        "torch": torch.__version__,
    }


def _measured(
    metric: str,
    samples: Tensor,
    real: Tensor | Moments | None,
    held_out: Tensor | None,
    protocol: Mapping[str, Any],
    remarks: Sequence[str],
) -> Iterator[Measurement]:
    """Yields what a metric's formula finds, beside what it finds of real images alone."""
    formula = FORMULAS[metric]
    floors: Mapping[str, Estimate] = {}
    each = None
    if isinstance(real, Tensor) and (parts := _parted(formula, len(real), len(samples), held_out)):
        others, rest = (real[part] for part in parts)
        floors = (
            formula.measure(others, rest, doubt=False) if formula.compares else formula.measure(others, doubt=False)
        )
        each = len(others)
        if formula.of_training and held_out is not None:
            real, protocol = rest, {**protocol, "held_out": each}
    estimates = formula.measure(samples, real) if formula.compares else formula.measure(samples)
    for part, estimate in estimates.items():
        name = metric if len(estimates) == 1 else part  # precision and recall have one formula
        yield Measurement(
            metric=name,
            value=estimate.value,
            interval=estimate.interval,
            infinity=estimate.infinity,
            noise_floor=floors[part].value if floors else None,
            noise_floor_n=each,
            protocol={**protocol, "metric": name},
            remarks=[*_remarks(formula, samples), *_remarks(formula, real), *remarks],
        )


def _parted(formula: Formula, count: int, n: int, held_out: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Returns which real images stand in the samples' place, and which they are compared with: all others, if any.

    Those that were not learned from stand in it where copies of the others are looked for; else as many as samples.
    """
    if formula.of_training and held_out is not None:
        learned = torch.ones(count, dtype=torch.bool)
        learned[held_out] = False
        return held_out, learned.nonzero().flatten()
    order = torch.randperm(count, generator=seeds.generator(0, "noise floor"))
    each = min(n, count // 2 if formula.compares else count)
    return (order[:each], order[each:]) if each >= formula.fewest or not formula.compares else None


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
