"""The judge: a small classifier trained on the very data set, whose features measure and whose head recognises."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from platformdirs import user_cache_path
from torch import Tensor

from kakusan import seeds
from kakusan.config.models import EMA, Optimizer, Training
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet, in_bytes
from kakusan.devices import device_of, resolve
from kakusan.errors import KakusanError
from kakusan.files import atomic_write
from kakusan.networks.classifier import Classifier
from kakusan.pictures import from_uint8
from kakusan.tensors import load_weights, pack
from kakusan.training.engine import Engine
from kakusan.training.tasks.classification import Classification

# What people are told of the recipe: another one is another judge, and its numbers cannot be compared.
_NAME = "classifier-2"
_HELD_OUT = 0.2
_SEED = 0
_CHUNK = 1024


@dataclass(frozen=True)
class Judge:
    """A trained classifier, which is an :class:`~kakusan.evaluation.features.Extractor`.

    Attributes:
        network: The classifier.
        accuracy: Share of held-out real images that it recognises.
        name: What its features are called in a protocol.
    """

    network: Classifier
    accuracy: float
    name: str

    resize = "not at all"
    library = "kakusan"

    @property
    def layers(self) -> dict[str, int]:
        """What it tells of each image, and in how many numbers."""
        return {"features": self.network.head.in_features, "logits": self.network.head.out_features}

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self.network)

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Returns what it sees in images, uint8, shape (N, C, H, W), by layer: (N, D) on the CPU."""
        features = self.features(images)
        with torch.no_grad():
            return {"features": features, "logits": self.network.head(features.to(self.device)).cpu()}

    def features(self, images: Tensor) -> Tensor:
        """Returns the features of images, uint8, shape (N, C, H, W): (N, D) on the CPU."""
        return _each(self.network, self.network.features, torch.split(images, _CHUNK))

    def recognised(self, images: Tensor, labels: Tensor) -> float:
        """Returns the share of images, uint8, (N, C, H, W), that it takes for what their ``labels``, (N,), say."""
        return _recognised(self.network, images, labels, torch.arange(len(images)))


def judge(images: ImageSet, device: str = "auto", show: bool = True) -> Judge:
    """Returns the judge of a labelled data set: from the user's cache, or trained now and put there.

    It learns from four fifths of the images; how well it does on the rest is its accuracy.

    Raises:
        KakusanError: The set has no labels, or fewer than ten images a class on average.
    """
    if images.labels is None or len(images.class_names) < 2:
        raise KakusanError(
            f"{images.name} has no classes to tell apart, and without pretrained weights only a classifier of its own "
            "can judge (put each class into a folder of its own)"
        )
    if len(images) < 10 * len(images.class_names):
        raise KakusanError(
            f"{images.name} has {len(images)} images in {len(images.class_names)} classes: too few to train a judge on "
            "(give at least ten a class, on average)"
        )
    learnt, held_out = _split(len(images))
    channels, height, width = images.shape
    # A judge must not depend on what ran before it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(_SEED, "judge"))
        network = Classifier(channels, min(height, width), len(images.class_names))
    recipe = _recipe(len(learnt), device)
    path = user_cache_path("kakusan") / "judges" / f"{_fingerprint(images, network, recipe)}.safetensors"
    if not _load(network, path):
        network = _train(network, ImageBatches(images, among=learnt), recipe, show)
        with suppress(KakusanError):  # without a cache to write to, the next evaluation trains it again
            atomic_write(path, pack(network.state_dict()))
    network = network.to(resolve(device)).eval()
    assert images.labels is not None
    return Judge(
        network,
        accuracy=_recognised(network, images.images, images.labels, held_out),
        name=f"{_NAME} ({_digest(network)})",
    )


def _recognised(network: Classifier, images: Tensor, labels: Tensor, among: Tensor) -> float:
    guesses = _each(network, network, (images[part] for part in torch.split(among, _CHUNK))).argmax(1)
    return (guesses == labels[among].cpu()).double().mean().item()


@torch.no_grad()
def _each(network: Classifier, function: Callable[[Tensor], Tensor], parts: Iterable[Tensor]) -> Tensor:
    """Returns what a ``function`` of pixels in [−1, 1] makes of images, which come in parts: all may not fit."""
    device = device_of(network)
    return torch.cat([function(from_uint8(part.to(device))).cpu() for part in parts])


def _split(count: int) -> tuple[Tensor, Tensor]:
    """Returns the numbers of the images that a judge learns from, and of those that it is tried on."""
    order = torch.randperm(count, generator=seeds.generator(_SEED, "held out"))
    held_out = max(1, round(_HELD_OUT * count))
    return order[held_out:], order[:held_out]


@dataclass(frozen=True)
class _Recipe:
    """How a judge is trained."""

    training: Training
    optimizer: Optimizer
    ema: EMA

    def __str__(self) -> str:
        """Says every setting, those left at their defaults too, which may change; the device makes no other judge."""
        sections = (self.training.model_copy(update={"device": "auto"}), self.optimizer, self.ema)
        return " ".join(section.model_dump_json() for section in sections)


def _recipe(count: int, device: str) -> _Recipe:
    return _Recipe(
        Training(images=max(40_000, 10 * count), batch_size=64, device=device, seed=_SEED, log_every=50),
        Optimizer(learning_rate=3e-3, weight_decay=0.05, warmup_images=3000),
        EMA(half_life=2000),
    )


def _train(network: Classifier, batches: ImageBatches, recipe: _Recipe, show: bool) -> Classifier:
    engine = Engine(
        Classification(network),
        batches,
        optimizer=recipe.optimizer,
        ema=recipe.ema,
        training=recipe.training,
        show=show,
        title="training a judge",
    )
    outcome = engine.train()
    if outcome.interrupted:  # a judge that stopped half-way must judge nothing, least of all from the cache
        raise KeyboardInterrupt
    assert isinstance(outcome.network, Classifier)
    return outcome.network


def _load(network: Classifier, path: Path) -> bool:
    """Loads a cached judge; one that is missing or damaged is trained anew."""
    try:
        load_weights(network, path)
    except KakusanError:
        return False
    return True


def _fingerprint(images: ImageSet, network: Classifier, recipe: _Recipe) -> str:
    """Returns a name that two share only where a judge would be the same."""
    assert images.labels is not None
    described = f"{recipe} {_HELD_OUT} {network} {tuple(images.images.shape)} {images.class_names}"
    digest = sha256(described.encode())
    for part in in_bytes(images.images):
        digest.update(part)
    digest.update(images.labels.numpy().tobytes())
    return f"{_NAME}-{digest.hexdigest()[:24]}"


def _digest(network: Classifier) -> str:
    digest = sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]
