"""From settings, or from a run, to a pipeline of which something learns, and what it learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from kakusan import config as run_config
from kakusan import pictures
from kakusan.config import models as config
from kakusan.customising.batches import batches_of
from kakusan.customising.buckets import bucketed
from kakusan.customising.customised import Customised, base_of, customised
from kakusan.customising.framing import framed, frames_of, is_told_of_sizes, whole
from kakusan.customising.images import given_images, own_images
from kakusan.customising.prior import prior_of
from kakusan.customising.prompts import prompts_of, repeated
from kakusan.data.contact_sheet import sheet
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError, counted
from kakusan.feeding import Feed
from kakusan.files import atomic_write
from kakusan.runs import SHEET, Checkpoint, Run, WeightsFrom
from kakusan.tensors import load_weights, pack, read_tensors

_ON_SHEET = 100


@dataclass(frozen=True, eq=False)
class Prepared:
    """A training before its first step.

    Attributes:
        learned: What learns.
        feed: From what.
        prior: Images of the kind that were drawn for it, uint8, shape (n, 3, H, W); None where there are none.
        sheet: The images as they are learned, on one picture: bytes, shape (3, H, W).
    """

    learned: Customised
    feed: Feed
    prior: Tensor | None
    sheet: Tensor

    def keep(self, run: Run) -> None:
        """Keeps what a run that goes on needs again, and a sheet of its images for people."""
        pictures.save(run.path / SHEET, self.sheet)
        if self.prior is not None:
            atomic_write(run.prior_path, pack({"images": self.prior}))


def prepared(
    settings: config.Config,
    device: torch.device,
    data: object,
    show: bool = True,
    prior: Tensor | None = None,
    once: Callable[[Callable[[], Tensor | None]], Tensor | None] = lambda make: make(),
) -> Prepared:
    """Opens the pipeline, and encodes the images that it learns from.

    Args:
        settings: Which, and what of it learns.
        device: Where it computes.
        data: Images given in Python; None: those of the settings.
        show: Whether to show progress.
        prior: Images of the kind that were drawn already.
        once: Of several processes, lets one alone make something for all.

    Raises:
        KakusanError: Something asked for cannot be had.
    """
    how = settings.objective
    assert isinstance(how, config.Customising), "asked for by whoever knows"
    base = base_of(settings, str(device))
    if isinstance(data, ImageSet):
        images, remarks = given_images(data, base)
    elif data is None or isinstance(data, (str, Path)):
        images, remarks = own_images(settings, base, show)
    else:
        raise KakusanError(f"a pipeline learns from a folder or an ImageSet, not from a {type(data).__name__}")
    shaped = list(images.images)
    if how.buckets is not None:
        if isinstance(data, ImageSet):
            raise KakusanError("objective.buckets cuts the images of a folder: name it in data.source, or leave it out")
        shaped = bucketed(settings.data.source, images, how.buckets)
        remarks.append(f"sizes: {_sizes(shaped)}")
    prompts, pairs = prompts_of(settings, images)
    pairs, counts = repeated(settings, images, pairs)
    frames = None
    if is_told_of_sizes(base.pipe):
        given = None if isinstance(data, ImageSet) else settings.data.source
        prompts, pairs, frames = framed(prompts, pairs, frames_of(given, images, shaped))
        kind = torch.tensor([whole(*images.shape[1:])]).expand(len(how.class_prompts), -1)
        frames = torch.cat([frames, kind])
    kinds = range(len(prompts), len(prompts) + len(how.class_prompts))
    prompts = (*prompts, *how.class_prompts)
    learned = customised(settings, base, prompts, frames)  # which draws, before it has learned, as it would without
    prior = once(partial(prior_of, settings, base, images.shape[1], show)) if prior is None else prior
    batches = batches_of(settings, base, images, shaped, pairs, kinds, prior)
    word = settings.network.token if isinstance(settings.network, config.Embedding) else None
    said = [it if word is None else it.replace(word, "") for it in dict.fromkeys((*prompts, *how.shown)) if it]
    if how.instance_prompts and (told := sum(bool(it.strip()) for it in images.captions)):
        remarks.append(f"{counted(told, 'caption')} not used: objective.instance_prompts say what all images show")
    if isinstance(settings.network, config.Whole) and not how.class_prompts:
        remarks.append(
            "nothing keeps it from forgetting what it knows (--class-prompt 'a photo of a dog' says what is kept)"
        )
    share = learned.parameters / learned.all_parameters
    remarks.append(
        f"trains {learned.parameters:,} of the {learned.all_parameters:,} weights of {base.name} ({share:.2%})"
    )
    feed = Feed(batches, True, (), (*remarks, *counts, *base.words.remarks_on(*said)))
    return Prepared(learned, feed, prior if how.prior is None else None, sheet(shaped[:_ON_SHEET]))


def _sizes(images: Sequence[Tensor]) -> str:
    """Returns how many images are learned at which size."""
    counts = Counter(f"{it.shape[2]}×{it.shape[1]}" for it in images)
    return ", ".join(f"{count} of {size}" for size, count in counts.most_common())


def again(settings: config.Config, device: torch.device, data: object, run: Run, show: bool = True) -> Prepared:
    """Does so for a run that goes on, with the images of the kind that it has kept."""
    prior = read_tensors(run.prior_path)["images"] if run.prior_path.exists() else None
    return prepared(settings, device, data, show, prior)


def restored(
    run: Run, checkpoint: int | None = None, weights_from: WeightsFrom = "ema", device: str = "auto"
) -> Customised:
    """Returns a pipeline as a run has taught it.

    Args:
        run: The run.
        checkpoint: Images seen when it was saved; None: the last one.
        weights_from: Averaged weights, or plain ones.
        device: Where it computes.

    Raises:
        KakusanError: The run customises no pipeline, has no such checkpoint, or its weights are damaged.
    """
    chosen = run.checkpoint(checkpoint)
    learned = untaught(run, chosen, device)
    load_weights(learned.network, chosen.weights_path(weights_from))
    return learned


def untaught(run: Run, checkpoint: Checkpoint, device: str = "auto") -> Customised:
    """Returns the pipeline as it was before a run taught it, told of the prompts that a checkpoint knows.

    Raises:
        KakusanError: The run customises no pipeline.
    """
    settings = run_config.load(run.config_path)
    if not isinstance(settings.network, config.Customised):
        raise KakusanError(f"{run.path} customises no pipeline (kakusan finetune does)")
    return customised(settings, base_of(settings, device), checkpoint.state()["class_names"])
