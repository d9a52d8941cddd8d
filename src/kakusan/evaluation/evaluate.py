"""A judgement: samples against real images at the same number, beside real images against real ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import mean, stdev

import torch
from torch import Tensor

from kakusan import sampling, seeds
from kakusan.config.models import Sampling
from kakusan.data.images import ImageSet
from kakusan.data.parting import all_but
from kakusan.errors import KakusanError, counted, some
from kakusan.evaluation.classes import Seen, by_class, inception_score
from kakusan.evaluation.copies import nearest, threshold
from kakusan.evaluation.eye import Eye
from kakusan.evaluation.formulas import Estimate, frechet
from kakusan.evaluation.judge import Judge, judge
from kakusan.evaluation.moments import Moments, frechet_distance
from kakusan.evaluation.protocol import how_seen
from kakusan.model import Model
from kakusan.results import Judgement
from kakusan.sampling import Progress
from kakusan.seeing.seen import rows, seen, seen_to_stay
from kakusan.seeing.sources import Drawn, Mirrored, Source, Stored


@dataclass(frozen=True)
class Reference:
    """Real images as a judge sees them, split in two again and again.

    Attributes:
        judge: Who recognises classes.
        eye: Who sees the features that are compared.
        digest: Leading digits of the hash of all real images.
        shape: (C, H, W) of the images.
        class_names: Their classes.
        features: Of all real images, shape (N, D).
        logits: Of all real images, shape (N, K).
        guesses: The class that the judge takes each real image for, shape (N,).
        real: Their classes, shape (N,).
        halves: For each split, the indices of the images that samples are compared with, and of as many others.
        labels: Classes for the samples of a model with classes: those of a part of the real images, shape (n,).
        captions: What the same images show in words, for those of a model that reads; empty where nobody said.
        mirrored: Features of the real images, left and right exchanged, where a model saw them so; else None.
        held_out: Numbers of those that a model did not learn from; None where nobody knows.
    """

    judge: Judge
    eye: Eye
    digest: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    features: Tensor
    logits: Tensor
    guesses: Tensor
    real: Tensor
    halves: list[tuple[Tensor, Tensor]]
    labels: Tensor
    mirrored: Tensor | None = None
    captions: tuple[str, ...] = ()
    held_out: Tensor | None = None

    @property
    def n(self) -> int:
        """Images on each side."""
        return len(self.labels)

    @property
    def remarks(self) -> list[str]:
        """What makes distances from these images less than they seem, a sentence each."""
        dimensions = self.features.shape[1]
        if self.n > dimensions:
            return []
        return [
            f"{self.n} images on each side are too few for {dimensions} features, whose covariance they cannot span: "
            f"this Fréchet distance says little (judge more than {dimensions} on each side)"
        ]

    @cached_property
    def moments(self) -> list[tuple[Moments, Moments]]:
        """Those of both sides of every split."""
        return [(self._moments(half), self._moments(other)) for half, other in self.halves]

    def _moments(self, which: Tensor) -> Moments:
        return Moments.of(self.features[which]).short()

    @cached_property
    def noise_floor(self) -> list[float]:
        """The distance between the two sides of every split of real images."""
        return [frechet_distance(other, half) for half, other in self.moments]

    @cached_property
    def noise_floor_infinity(self) -> float | None:
        """The limit of that distance for infinitely many images on the other side; None where it is not known."""
        return doubt_about(self.features[self.halves[0][1]], self, mean(self.noise_floor)).infinity

    def copies(self, features: Tensor) -> float:
        """Returns the share of samples, of ``features`` (n, D), that are near-copies of what a model learned from."""
        searched, near = self._searched
        return nearest(features, *searched).copies(near)

    @cached_property
    def real_copies(self) -> float:
        """That share of real images: of those held out, or else, in the first split, of one side among the other."""
        if self.held_out is not None:
            return self.copies(self.features[self.held_out])
        half, other = self.halves[0]
        searched = self._views(half)
        return nearest(self.features[other], *searched).copies(threshold(searched[0]))

    @cached_property
    def _searched(self) -> tuple[tuple[Tensor, ...], float]:
        """What copies are looked for among, and how near one lies."""
        views = self._views(all_but(self.held_out, len(self.features)))
        return views, threshold(views[0])

    def _views(self, which: Tensor) -> tuple[Tensor, ...]:
        views = [view for view in (self.features, self.mirrored) if view is not None]
        return tuple(views if len(which) == len(self.features) else (rows(view, which) for view in views))

    def distances(self, features: Tensor) -> list[float]:
        """Returns the distance of samples' ``features``, shape (n, D), from the first side of every split."""
        samples = Moments.of(features).short()
        return [frechet_distance(samples, half) for half, _ in self.moments]

    def sides(self) -> tuple[Seen, Seen]:
        """Returns the real images of the first split that samples are compared with, and the others."""
        one, other = (Seen(self.features[part], self.guesses[part], self.real[part]) for part in self.halves[0])
        return one, other


def reference(
    real: ImageSet | Stored,
    *,
    n: int | None,
    splits: int,
    device: str = "auto",
    show: bool = True,
    eye: Eye | None = None,
) -> Reference:
    """Prepares real images to be compared with.

    Args:
        real: The data set, with labels; and perhaps with what a model learned of it, among which copies are looked for.
        n: Images on each side; half of the data by default.
        splits: How many random splits, each with as many of every class on both sides.
        device: Where a judge is trained, if there is none yet.
        show: Whether to show its progress.
        eye: Who sees features in the judge's place.

    Raises:
        KakusanError: ``n`` is more than half of the data, or the data cannot be judged.
    """
    real = real if isinstance(real, Stored) else Stored(real)
    images = real.images
    most = len(images) // 2
    n = most if n is None else n
    if most < 2:
        raise KakusanError(f"{images.name} has {counted(len(images), 'image')}: too few to be judged (give at least 4)")
    if not 2 <= n <= most:
        raise KakusanError(
            f"n must lie between 2 and {most}, half of the images of {images.name}, so that real images "
            f"can be compared at the same number, not {n}"
        )
    critic = judge(images, device, show)
    assert images.labels is not None
    own = Eye(critic)
    features, logits = own.see(images.images)
    guesses = logits.argmax(1)
    mirrored = None
    if eye is not None:
        store = seen_to_stay(real, [eye.extractor], show)[eye.name]
        features, logits = store[eye.features], store[eye.logits]
        if real.mirrored:
            mirrored = seen_to_stay(Mirrored(real), [eye.extractor], show)[eye.name][eye.features]
    elif real.mirrored:
        mirrored = torch.cat([own.see(part)[0] for part, _ in Mirrored(real).chunks(0)])
    halves = [_halves(images.labels, n, split) for split in range(splits)]
    return Reference(
        judge=critic,
        eye=eye or own,
        digest=real.provenance["images_hash"],
        shape=images.shape,
        class_names=images.class_names,
        features=features,
        logits=logits,
        guesses=guesses,
        real=images.labels,
        halves=halves,
        labels=images.labels[halves[0][1]],
        captions=tuple(images.captions[i] for i in halves[0][1].tolist()) if images.captions else (),
        mirrored=mirrored,
        held_out=real.held_out,
    )


def require_alike(model: Model, real: ImageSet | Reference, name: str) -> None:
    """Refuses real images that the pictures of a model cannot be compared with.

    Args:
        model: The model.
        real: The images.
        name: What they are called.

    Raises:
        KakusanError: They have another shape, or other classes.
    """
    if model.shape != real.shape:
        raise KakusanError(
            f"the model draws images of shape {model.shape}, {name} holds {real.shape}: compare like with like"
        )
    if model.class_names and model.class_names != real.class_names:
        raise KakusanError(
            f"{name} has the classes {some(real.class_names, 5) or '(none)'}, and the model learned "
            f"{some(model.class_names, 5)}: evaluate against images of these"
        )


def evaluate(
    model: Model, against: Reference, *, settings: Sampling, seed: int = 0, name: str, progress: Progress | None = None
) -> Judgement:
    """Draws samples from a model and judges them.

    Args:
        model: The model.
        against: Real images of the same shape.
        settings: How to draw.
        seed: Of the samples.
        name: What the reference is called in the protocol.
        progress: Called as in :func:`kakusan.sampling.sample`.

    Raises:
        KakusanError: The model's pictures have another shape, or classes, than the reference.
    """
    require_alike(model, against, name)
    labels = against.labels if model.class_names else None
    prompts = against.captions if against.captions and model.words is not None else None
    plan = sampling.plan(model, n=against.n, settings=settings, seed=seed, labels=labels, prompts=prompts)
    drawn = Drawn(model, plan)
    return judged(drawn, against, name=name, labels=labels, progress=progress)


def judged(
    samples: Source,
    against: Reference,
    *,
    name: str,
    labels: Tensor | None = None,
    progress: Progress | None = None,
) -> Judgement:
    """Judges samples, of whatever made them.

    Args:
        samples: As many as real images stand on either side.
        against: Real images of the same shape.
        name: What these are called in the protocol.
        labels: What samples were asked to be, shape (n,).
        progress: Called as in :func:`kakusan.sampling.sample`.
    """
    extractors = list({it.name: it for it in (against.eye.extractor, against.judge)}.values())
    with seen(samples, extractors, show=False, progress=progress) as stores:
        store = stores[against.eye.name]
        features, logits = store[against.eye.features], store[against.eye.logits]
        guesses = stores[against.judge.name]["logits"].argmax(1)
        distances, floor = against.distances(features), against.noise_floor
        doubt = doubt_about(features, against, mean(distances))
        real, other = against.sides()
        return Judgement(
            frechet_distance=mean(distances),
            frechet_distance_spread=_spread(distances),
            frechet_distance_interval=doubt.interval,
            frechet_distance_infinity=doubt.infinity,
            noise_floor_infinity=None if doubt.infinity is None else against.noise_floor_infinity,
            noise_floor=mean(floor),
            noise_floor_spread=_spread(floor),
            class_accuracy=None if labels is None else (guesses == labels).double().mean().item(),
            classifier_accuracy=against.judge.accuracy,
            inception_score=inception_score(logits),
            real_inception_score=inception_score(against.logits[against.halves[0][1]]),
            classes=by_class(Seen(features, guesses, labels), real, other, against.class_names),
            copies=against.copies(features),
            real_copies=against.real_copies,
            seconds=store.seconds,
            protocol={
                "n": against.n,
                "reference": name,
                "reference_hash": against.digest,
                "splits": len(against.halves),
                "score_splits": 1,
                **how_seen(against.eye.extractor),
                "layer": against.eye.features,
                "classifier": against.judge.name,
                "held_out": None if against.held_out is None else len(against.held_out),
                "mirrored": against.mirrored is not None,
                **samples.provenance,
            },
            remarks=against.remarks,
        )


def doubt_about(features: Tensor, against: Reference, distance: float) -> Estimate:
    """Returns a mean distance over all splits with its interval and its limit, as they are found in the first one."""
    found = frechet(features, against.moments[0][0])["fid"]
    interval, infinity = found.interval, found.infinity
    if interval is not None:
        half = interval[1] - found.value
        interval = max(0.0, distance - half), distance + half
    return Estimate(distance, interval, None if infinity is None else max(0.0, infinity + distance - found.value))


def _halves(labels: Tensor, n: int, split: int) -> tuple[Tensor, Tensor]:
    """Returns the indices of two disjoint random parts of ``n`` images, with as many of each class, give or take one.

    In two halves split blindly a class that is rare in one is frequent in the other; the floor would hold that too.
    """
    shuffled = torch.randperm(len(labels), generator=seeds.generator(0, "evaluation split", split))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    # Evenly spaced among all, class after class, so every class keeps its share; and then in turn to either side.
    chosen = by_class[torch.arange(2 * n) * len(labels) // (2 * n)]
    return chosen[::2], chosen[1::2]


def _spread(values: list[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0
