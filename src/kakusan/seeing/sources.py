"""Where images to measure come from: a data set, or a model that draws them as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Protocol

import torch
from torch import Tensor

from kakusan import sampling, seeds
from kakusan.config import Config
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet, digest_of
from kakusan.data.parting import all_but, kept_out, parted
from kakusan.model import Model
from kakusan.pictures import to_uint8
from kakusan.sampling import Progress
from kakusan.schedules import Schedule
from kakusan.seeing.stream import Stream

_CHUNK = 256
_LEVELS = 65


class Source(Stream, Protocol):
    """Images."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""

    @property
    def labelled(self) -> bool:
        """Whether their classes are known."""

    def chunks(self, done: int, progress: Progress | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yields images, uint8, shape (B, C, H, W), with their classes, shape (B,)."""

    def at(self, indices: Tensor) -> Tensor:
        """Returns single images by number, int64, shape (k,): uint8, (k, C, H, W)."""


@dataclass(frozen=True)
class Stored:
    """The images of a data set.

    Attributes:
        images: The set.
        held_out: Numbers of those that a model did not learn from, int64, shape (k,); None where there are none, or
            nobody knows.
        mirrored: Whether it saw the others mirrored, too.
        learned: Whether a model is known to have learned from them.
    """

    images: ImageSet
    held_out: Tensor | None = None
    mirrored: bool = False
    learned: bool = False

    @property
    def labelled(self) -> bool:
        return self.images.labels is not None

    @property
    def name(self) -> str:
        return self.images.name

    @property
    def n(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape

    @cached_property
    def provenance(self) -> dict[str, Any]:
        told = {"images": self.name, "images_n": self.n, "images_hash": digest_of(self.images.images)}
        if self.images.labels is None:
            return told
        return {**told, "images_labels": sha256(self.images.labels.numpy().tobytes()).hexdigest()[:8]}

    def chunks(self, done: int, progress: Progress | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        for start in range(done, self.n, _CHUNK):
            part = slice(start, start + _CHUNK)
            yield self.images.images[part], None if self.images.labels is None else self.images.labels[part]

    @classmethod
    def of_run(cls, images: ImageSet, settings: Config | None) -> Stored:
        """Returns the images of a run of these settings, with what it learns of them; None where they are of no run."""
        if settings is None:
            return cls(images)
        count = kept_out(settings.data.held_out, len(images))
        held_out = parted(len(images), images.labels, count, settings.training.seed)[1] if count else None
        return cls(images, held_out, settings.data.flip, learned=True)

    @classmethod
    def of_batches(cls, batches: ImageBatches) -> Stored:
        """Returns the images of which batches are made, where it is known which were left out, and seen mirrored."""
        held_out = None if batches.among is None else all_but(batches.among, len(batches.images))
        return cls(batches.images, held_out, batches.flips, learned=True)

    def at(self, indices: Tensor) -> Tensor:
        return self.images.images[indices]


@dataclass(frozen=True)
class Mirrored:
    """The images of a data set, left and right exchanged."""

    of: Stored

    @property
    def name(self) -> str:
        return f"{self.of.name}, mirrored"

    @property
    def n(self) -> int:
        return self.of.n

    @property
    def shape(self) -> tuple[int, ...]:
        return self.of.shape

    @property
    def labelled(self) -> bool:
        return self.of.labelled

    @property
    def provenance(self) -> dict[str, Any]:
        return {**self.of.provenance, "mirrored": True}

    def chunks(self, done: int, progress: Progress | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        for images, labels in self.of.chunks(done):
            yield images.flip(-1), labels

    def at(self, indices: Tensor) -> Tensor:
        return self.of.at(indices).flip(-1)


@dataclass(frozen=True)
class Drawn:
    """The samples of a model, drawn a chunk at a time and judged as the files that a person would get: as bytes.

    Attributes:
        model: What draws.
        plan: How.
    """

    model: Model
    plan: sampling.Plan

    @property
    def labelled(self) -> bool:
        return self.plan.labels is not None

    @property
    def name(self) -> str:
        return self.model.source

    @property
    def n(self) -> int:
        return self.plan.n

    @property
    def shape(self) -> tuple[int, ...]:
        return self.plan.shape

    @property
    def provenance(self) -> dict[str, Any]:
        labels = None if self.plan.labels is None else self.plan.labels.tolist()
        return {
            "weights": self.model.source,
            "weights_from": self.model.weights_from,
            "weights_hash": self.model.weights_hash,
            "images_seen": self.model.images,
            "schedule": _noise_of(self.model.denoiser.schedule),
            "parametrization": repr(self.model.denoiser.parametrization),
            **self.plan.settings.model_dump(),
            "nfe": self.plan.network_calls,
            "seed": self.plan.seed,
            "labels": None if labels is None else sha256(repr(labels).encode()).hexdigest()[:8],
            **self._words,
            **self._decoder,
            "device": self.plan.device.type,
            "kakusan": version("kakusan"),
            "torch": torch.__version__,
        }

    @property
    def _words(self) -> dict[str, Any]:
        """What was asked for in words, for a stamp; nothing where nothing was."""
        given = {"prompts": self.plan.condition, "negative": self.plan.unconditional}
        asked = {name: it.words for name, it in given.items() if it is not None and it.words is not None}
        return {name: sha256(words.numpy().tobytes()).hexdigest()[:8] for name, words in asked.items()}

    @property
    def _decoder(self) -> dict[str, Any]:
        """What makes pictures of latents, for a stamp; nothing where there is nothing to be made."""
        codec = self.plan.codec
        if codec is None:
            return {}
        return {"autoencoder": codec.weights_hash[:16], "tile": codec.tile, "decoded_in": str(codec.dtype)}

    def chunks(self, done: int, progress: Progress | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        given = self.plan.labels
        for images in self.plan.chunks():
            if images.start >= done:
                labels = None if given is None else given[images.start : images.stop]
                yield to_uint8(sampling.draw(self.plan, images, progress)).cpu(), labels

    def at(self, indices: Tensor) -> Tensor:
        """Returns single images, whose chunks are drawn once more."""
        drawn: dict[int, Tensor] = {}
        wanted = indices.tolist()
        for images in self.plan.chunks():
            if here := [index for index in wanted if index in images]:
                pixels = to_uint8(sampling.draw(self.plan, images)).cpu()
                drawn |= {index: pixels[index - images.start] for index in here}
        return torch.stack([drawn[index] for index in wanted])


def _noise_of(schedule: Schedule) -> str:
    """Returns what tells a schedule from others, of whatever class: that, and a hash of its noise levels."""
    levels = schedule.log_snr(torch.linspace(0, 1, _LEVELS, dtype=torch.float64)).tolist()
    digest = sha256(" ".join(f"{level:.5g}" for level in levels).encode()).hexdigest()[:8]
    return f"{type(schedule).__name__} {digest}"


def classes_like(model: Model, n: int, real: object) -> list[int] | None:
    """Returns the classes to draw, mixed: in the real images' shares, or as many of each where these have others.

    Args:
        model: What draws.
        n: How many.
        real: What they are compared with.
    """
    if not model.class_names or n < 1:
        return None
    like = real.images if isinstance(real, Stored) and real.images.class_names == model.class_names else None
    if like is None or like.labels is None:
        ordered = torch.arange(n) % len(model.class_names)
    else:
        ordered = like.labels.sort().values[torch.arange(n) * len(like) // n]
    return ordered[torch.randperm(n, generator=seeds.generator(0, "classes measured"))].tolist()


def captions_like(model: Model, n: int, real: object) -> list[str] | None:
    """Returns the prompts to draw, captions of the real images, evenly, in the order of :func:`classes_like`; None of a
    model that reads none, or where these say nothing.

    Args:
        model, n, real: As there.
    """
    images = real.images if isinstance(real, Stored) else None
    if model.words is None or images is None or not images.captions or n < 1:
        return None
    order = torch.arange(len(images)) if images.labels is None else images.labels.argsort(stable=True)
    chosen = order[torch.arange(n) * len(images) // n % len(images)]
    mixed = chosen[torch.randperm(n, generator=seeds.generator(0, "classes measured"))]
    return [images.captions[i] for i in mixed.tolist()]
