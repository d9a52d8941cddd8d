"""Published metrics of images, drawn or stored: seen once by every network, in a stream that can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kakusan import pictures, seeds
from kakusan.data.parting import all_but
from kakusan.errors import KakusanError, counted
from kakusan.evaluation import statistics
from kakusan.evaluation.copies import nearest
from kakusan.evaluation.features import Extractor, extractor
from kakusan.evaluation.formulas import FEW_LOGITS, FORMULAS, Estimate, Formula
from kakusan.evaluation.moments import Moments
from kakusan.evaluation.protocol import how_seen
from kakusan.evaluation.statistics import Statistics
from kakusan.results import Measurement
from kakusan.sampling import Progress
from kakusan.seeing.seen import rows, seen, seen_to_stay
from kakusan.seeing.sources import Drawn, Mirrored, Source, Stored
from kakusan.seeing.store import Store

Views = tuple[Tensor | Moments, ...]
"""What a network saw in real images: as they are, then mirrored where that matters; or their moments; or nothing."""

_MUCH = 1.5  # times as many images, beside which the bias of fewer is no small thing
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
    progress: Progress | None = None,
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
        progress: Called as samples are drawn, as in :func:`kakusan.sampling.draw`.

    Raises:
        KakusanError: The weights of a metric are wanting; images are too few, or unlike each other.
    """
    formulas = {name: FORMULAS[name] for name in metrics}
    _require_alike(samples, real, formulas)
    seers = {
        kind: extractor(kind, weights, device=device, offline=offline, show=show)
        for kind in sorted({formula.network for formula in formulas.values()})
    }
    held_out = real.held_out if isinstance(real, Stored) else None
    found: list[Measurement] = []
    # The real side first: where somebody else is seeing the same images, that is known before samples are drawn.
    with (
        _other_side(real, formulas, seers, show) as theirs,
        seen(samples, list(seers.values()), show, progress) as ours,
    ):
        for name, formula in formulas.items():
            seer = seers[formula.network]
            protocol = {**_protocol(seer, samples, real), "metric": name, "layer": formula.layer, **formula.stamp}
            views, remarks = theirs(formula), _remarks_on_sides(formula, samples, real)
            if formula.within_class and isinstance(real, (Stored, Drawn)) and real.labelled != samples.labelled:
                views = ()  # distances within classes and between any two images do not compare
            found += _measured(name, ours[seer.name][formula.layer], views, held_out, protocol, remarks)
        if keep is not None:
            fid = FORMULAS["fid"]
            seer = seers[fid.network]
            statistics.save(keep, Moments.of(ours[seer.name][fid.layer]), seer.name)
        if draw_nearest is not None and isinstance(real, (Stored, Drawn)):
            formula = next(it for it in formulas.values() if it.of_training)
            features = ours[seers[formula.network].name][formula.layer]
            _draw_nearest(draw_nearest, samples, features, real, theirs(formula), held_out)
    return found


@contextmanager
def _other_side(
    real: Source | Statistics | None, formulas: Mapping[str, Formula], seers: Mapping[str, Extractor], show: bool
) -> Iterator[Callable[[Formula], Views]]:
    """Yields what a formula compares with: nothing, moments, or features, and after those of images as they are those
    of mirrored ones, where copies are looked for and a model saw them so."""
    if real is None:
        yield lambda formula: ()
    elif isinstance(real, Statistics):
        for seer in seers.values():
            if FORMULAS["fid"].layer in seer.layers:
                real.require(seer.name, seer.layers[FORMULAS["fid"].layer])
        moments = real.moments
        yield lambda formula: (moments,)
    elif isinstance(real, Stored):
        plain, mirrored = see_real(real, formulas, seers, show)

        def views(formula: Formula) -> Views:
            both = (plain, mirrored) if formula.of_training and real.mirrored else (plain,)
            return tuple(it[seers[formula.network].name][formula.layer] for it in both)

        yield views
    else:
        with seen(real, list(seers.values()), show) as drawn:
            yield lambda formula: (drawn[seers[formula.network].name][formula.layer],)


def see_real(
    real: Stored, formulas: Mapping[str, Formula], seers: Mapping[str, Extractor], show: bool
) -> tuple[Mapping[str, Store], Mapping[str, Store]]:
    """Returns what networks see in real images, and in mirrored ones where copies are looked for and a model saw them
    so, by the name of each network.

    Args:
        real: The images.
        formulas: What is measured.
        seers: The networks, by kind.
        show: Whether to show progress.

    Raises:
        KakusanError: As in :func:`~kakusan.seeing.seen.seen_to_stay`.
    """
    plain = seen_to_stay(real, list(seers.values()), show)
    kinds = {formula.network for formula in formulas.values() if formula.of_training and real.mirrored}
    return plain, seen_to_stay(Mirrored(real), [seers[kind] for kind in sorted(kinds)], show) if kinds else {}


def _draw_nearest(
    path: Path, samples: Source, features: Tensor, real: Source, views: Views, held_out: Tensor | None
) -> None:
    """Draws the samples nearest to a real image that was learned from, each above that image."""
    searched = all_but(held_out, real.n)
    close = nearest(features, *(rows(view, searched) for view in views if isinstance(view, Tensor)))
    which = close.distances.argsort()[:_DRAWN]
    theirs = real.at(searched[close.indices[which]])
    mirrored = close.views[which] == 1
    theirs[mirrored] = theirs[mirrored].flip(-1)
    both = torch.cat([samples.at(which), theirs])
    pictures.save(path, pictures.legible(pictures.grid(both, len(which)), both.shape[-1]))


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
    theirs = {} if real is None else real.provenance
    return {
        "n": samples.n,
        **samples.provenance,
        **{_of_reference(key): value for key, value in theirs.items()},
        **how_seen(seer),
    }


def _of_reference(key: str) -> str:
    """Returns what a field of a source is called on the other side: ``reference_hash`` for ``images_hash``."""
    own = key in ("images", "images_n", "images_hash", "images_labels")
    return f"reference{key.removeprefix('images')}" if own else f"reference_{key}"


def _measured(
    metric: str,
    samples: Tensor,
    views: Views,
    held_out: Tensor | None,
    protocol: Mapping[str, Any],
    remarks: Sequence[str],
) -> Iterator[Measurement]:
    """Yields what a metric's formula finds, beside what it finds of real images alone."""
    formula = FORMULAS[metric]
    floors: Mapping[str, Estimate] = {}
    each = beside = None
    features = [view for view in views if isinstance(view, Tensor)]
    if features and (parts := _parted(formula, len(features[0]), len(samples), held_out)):
        others, rest = rows(features[0], parts[0]), tuple(rows(view, parts[1]) for view in features)
        floors = formula.measure(others, *(rest if formula.compares else ()), doubt=False)
        each, beside = len(others), len(parts[1])
        if formula.of_training:
            protocol = {**protocol, "held_out": None if held_out is None else each, "mirrored": len(views) > 1}
            views = views if held_out is None else rest
    estimates = formula.measure(samples, *(views if formula.compares else ()))
    for part, estimate in estimates.items():
        name = metric if len(estimates) == 1 else part  # precision and recall have one formula
        yield Measurement(
            metric=name,
            value=estimate.value,
            interval=estimate.interval,
            infinity=estimate.infinity,
            noise_floor=floors[part].value if floors else None,
            noise_floor_n=each,
            noise_floor_against=beside if formula.compares else None,
            protocol={**protocol, **estimate.stamp, "metric": name},
            remarks=[
                *_remarks(metric, samples),
                *(_remarks(metric, views[0]) if views and formula.compares else ()),
                *_remarks_on_floor(formula, len(samples), each, beside),
                *remarks,
            ],
        )


def _parted(formula: Formula, count: int, n: int, held_out: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Returns which real images stand in the samples' place, and which they are compared with: all others, if any.

    Those that were not learned from stand in it where copies of the others are looked for; else as many as samples.
    """
    if formula.of_training and held_out is not None:
        return held_out, all_but(held_out, count)
    order = torch.randperm(count, generator=seeds.generator(0, "noise floor"))
    each = min(n, count // 2 if formula.compares else count)
    return (order[:each], order[each:]) if each >= formula.fewest or not formula.compares else None


def _remarks_on_sides(formula: Formula, samples: Source, real: Source | Statistics | None) -> list[str]:
    """Returns what makes a number less than it seems, whatever its value."""
    if isinstance(real, Statistics):
        return real.remarks
    if formula.within_class and not samples.labelled:
        return [f"{samples.name} has no classes: distances are those of any two of its images, and not within a class"]
    if formula.of_training and isinstance(real, Stored) and real.learned and real.held_out is None:
        return [
            "nothing was held out, so the real images beside the copies were learned from as well (data.held_out of a "
            "training keeps some)"
        ]
    return []


def _remarks(metric: str, images: Tensor | Moments | None) -> list[str]:
    """Returns what makes a number of so few images less than it seems; statistics need not say of how many they are."""
    if not isinstance(images, Tensor):
        return []
    n, dimensions = images.shape
    if metric == "is" and n < FEW_LOGITS:
        return [
            f"an Inception score of {counted(n, 'image')} says little, for it is the mean of ten parts and at most "
            f"their number of images (measure {FEW_LOGITS:,} or more)"
        ]
    if not FORMULAS[metric].of_moments or n > dimensions:
        return []
    return [
        f"{counted(n, 'image')} are too few for {dimensions} features, whose covariance they cannot span: this "
        f"distance says little (measure more than {dimensions})"
    ]


def _remarks_on_floor(formula: Formula, n: int, each: int | None, beside: int | None) -> list[str]:
    """Returns what makes the number of real images less than it seems."""
    if formula.of_moments and each is not None and beside is not None:
        everything = each + beside
        if each < n or _MUCH * beside < everything:
            return [
                f"the noise floor is of {counted(each, 'image')} against {beside:,}, and samples are {n:,} against "
                f"{everything:,}: as many real ones would score less"
            ]
    return []
