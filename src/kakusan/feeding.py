"""What a training is fed with: images of a configuration or given in Python, and what the network is told of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from kakusan import build
from kakusan.condition import NULL_WORD
from kakusan.config import models as config
from kakusan.data import load
from kakusan.data.batches import Batches, ImageBatches, LoaderBatches
from kakusan.data.images import ImageSet
from kakusan.data.parting import kept_out
from kakusan.data.remarks import remarks_on, remarks_on_captions, remarks_on_count, remarks_on_range
from kakusan.errors import KakusanError
from kakusan.words import Words, found_in


@dataclass(frozen=True)
class Feed:
    """What a training is fed with.

    Attributes:
        batches: Where its batches come from.
        labelled: Whether their images have labels.
        class_names: The classes that condition the network; empty for none.
        remarks: What is to be said of the images.
        words: The vocabulary of the captions that condition the network; None for none.
    """

    batches: Batches
    labelled: bool
    class_names: tuple[str, ...]
    remarks: tuple[str, ...]
    words: Words | None = None


def images(settings: config.Data, show: bool = True) -> ImageSet:
    """Loads the images of a configuration.

    Args:
        settings: Which, and how.
        show: Whether to show progress.

    Raises:
        KakusanError: There are none, or too many of them are broken.
    """
    wishes = {"size": settings.size, "channels": settings.channels}
    return load(settings.source, **wishes, max_broken=settings.max_broken, show=show)


def feed(
    settings: config.Config,
    data: object,
    network: nn.Module | None,
    class_names: Sequence[str],
    show: bool = True,
    words: Words | None = None,
) -> Feed:
    """Returns what a training is fed with.

    Args:
        settings: Data and network.
        data: A source by name or path, an :class:`ImageSet`, or any iterable of batches; None is that of the settings.
        network: A network of the user's own.
        class_names: The classes, where the data do not name them.
        show: Whether to show progress.
        words: The vocabulary by which captions are told; None: it is found in them.

    Raises:
        KakusanError: The data cannot be read, or have no labels or captions where the network needs them; or the
            network itself is wanting.
    """
    if isinstance(class_names, str):
        raise KakusanError(f'class_names must be a list of names, not the text {class_names!r} (["cat", "dog"])')
    if network is None and isinstance(settings.network, config.OwnNetwork):
        raise build.missing(settings.network)
    given = _given(settings, data, show)
    if settings.reads_text:
        given = _captioned(given, settings, words)
    named = replace(given, class_names=tuple(class_names) or given.class_names)
    match settings.network:
        case config.UNet(class_conditional=True):
            return _conditioning(named, settings)
        case config.UNet():
            return _unconditional(named)
        case config.Autoencoder():
            return replace(given, class_names=())  # of no use to it
        case config.CLIP():
            return _telling_apart(given)
    if network is not None and (class_names or (given.labelled and _takes_condition(network))):
        return _conditioning(named, settings)
    return replace(given, class_names=())


def _given(settings: config.Config, data: object, show: bool) -> Feed:
    """Returns where batches come from, with all the classes that the data name."""
    if data is None or isinstance(data, (str, Path)):
        data = images(settings.data, show)
    if isinstance(data, ImageSet):
        learned = len(data) - kept_out(settings.data.held_out, len(data))
        remarks = (*remarks_on(data), *remarks_on_count(learned, settings.training.batch_size))
        named = tuple(map(str, data.class_names))
        return Feed(ImageBatches(data, settings.data.flip), data.labels is not None, named, remarks)
    if isinstance(data, Tensor):
        raise KakusanError(
            f"a tensor of shape {tuple(data.shape)} is no loader of batches: wrap it "
            "(torch.utils.data.DataLoader(images, batch_size=128, shuffle=True))"
        )
    if isinstance(data, Iterable):
        loader = LoaderBatches(data)
        named = tuple(map(str, getattr(getattr(data, "dataset", None), "classes", ())))
        return Feed(loader, loader.labelled, named, tuple(remarks_on_range(loader.lowest, loader.highest)))
    raise KakusanError(f"data must be a source, an ImageSet or a data loader, not {type(data).__name__}")


def _captioned(feed: Feed, settings: config.Config, words: Words | None) -> Feed:
    """Returns the feed of a network that reads captions, once it is certain that there are some."""
    captions = feed.batches.images.captions if isinstance(feed.batches, ImageBatches) else ()
    told = [caption for caption in captions if caption.strip()]
    if not told or not isinstance(feed.batches, ImageBatches):
        there = "captions that are all empty (write" if captions else "none (put"
        raise KakusanError(
            f"{_reads(settings)} needs captions, and {settings.data.source} has {there} a .txt beside each image, or "
            "a metadata.jsonl)"
        )
    how = settings.text
    found = found_in(told, how.vocabulary, how.length) if words is None else words.seen_in(told)
    silent = torch.tensor([not caption.strip() for caption in captions])
    numbers, cut = found.read_all(captions)
    numbers = numbers.masked_fill(silent[:, None], NULL_WORD)
    a_clip = isinstance(settings.network, config.CLIP)
    without = "left out, since a CLIP has nothing to tell them by" if a_clip else "learned as such that say nothing"
    remarks = remarks_on_captions(feed.batches.images, found, cut, settings.data.flip, without)
    batches = ImageBatches(feed.batches.images, feed.batches.flips, words=numbers)
    return replace(feed, batches=batches, words=found, remarks=(*feed.remarks, *remarks))


def _reads(settings: config.Config) -> str:
    return "a CLIP" if isinstance(settings.network, config.CLIP) else "network.text_conditional"


def _telling_apart(feed: Feed) -> Feed:
    """Returns the feed of a CLIP, once it is certain that there is something to tell apart: images without a caption
    have nothing to be told by, and are left out."""
    assert isinstance(feed.batches, ImageBatches), "captioned"
    assert feed.batches.words is not None, "captioned"
    told = (feed.batches.words != NULL_WORD).any(1).nonzero().flatten()
    if not (feed.batches.words[told] != feed.batches.words[told[0]]).any():
        raise KakusanError(
            f"a CLIP tells captions apart, and there is one only, {feed.batches.images.captions[told[0]]!r} (give "
            "captions that differ; a larger text.length cuts fewer of them)"
        )
    if len(told) < feed.batches.epoch:
        feed = replace(feed, batches=feed.batches.only(told))
    return replace(feed, class_names=())


def _conditioning(feed: Feed, settings: config.Config) -> Feed:
    """Returns the feed of a network conditioned on its classes, once it is certain that it has them."""
    if not feed.labelled or not feed.class_names:
        without = (
            "or a network that takes (x, clock) and no more"
            if isinstance(settings.network, config.OwnNetwork)
            else "or set network.class_conditional to false"
        )
        if feed.labelled:
            lack, mend = "does not name its classes", 'give class_names=["cat", "dog", …]'
        elif isinstance(feed.batches, LoaderBatches):
            lack, mend = "has no labels", "let it yield (images, labels)"
        else:
            lack, mend = "has no labels", "put each class into a folder of its own"
        raise KakusanError(
            f"a network conditioned on classes needs labelled data, and {settings.data.source} {lack} "
            f"({mend}, {without})"
        )
    if isinstance(feed.batches, LoaderBatches):
        feed.batches.expect(len(feed.class_names))
    return feed


def _unconditional(feed: Feed) -> Feed:
    """Returns the feed of a network that could be conditioned on its classes, and is not."""
    if len(feed.class_names) < 2:
        return replace(feed, class_names=())
    unused = (
        f"the {len(feed.class_names)} classes of the images are not used: the network learns them all as one "
        "(network.class_conditional: true tells them apart)"
    )
    return replace(feed, class_names=(), remarks=(*feed.remarks, unused))


def _takes_condition(network: nn.Module) -> bool:
    """Whether it has a third argument, in the place of the condition, that is not a setting with a value of its own."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [it for it in inspect.signature(network.forward).parameters.values() if it.kind in kinds]
    return len(positional) >= 3 and positional[2].default in (inspect.Parameter.empty, None)
