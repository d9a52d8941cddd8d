"""From a run directory to what a report tells of it: what its files say, and a few pictures drawn from its weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from kakusan import api, config, customising, feeding, sampling
from kakusan.config.models import CLIP, Autoencoder, Customised, OwnNetwork
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet
from kakusan.data.parting import kept_out
from kakusan.devices import resolve
from kakusan.errors import KakusanError
from kakusan.evaluation.captions import captioned
from kakusan.files import atomic_write
from kakusan.model import Model
from kakusan.pictures import from_uint8
from kakusan.progress import say as tell_user
from kakusan.reporting.anatomy import Network, read
from kakusan.reporting.language import language
from kakusan.reporting.report import render
from kakusan.reporting.sections.samples import layout
from kakusan.reporting.shown import Moment
from kakusan.reporting.story import Story
from kakusan.results import Judgement, best_judgement, judgements_in
from kakusan.runs import Checkpoint, Run
from kakusan.seeing.sources import Stored
from kakusan.studies import guidance
from kakusan.studies.mixture import mixture
from kakusan.studies.neighbours import neighbours
from kakusan.studies.reconstruction import reconstructed
from kakusan.tensors import read_tensors
from kakusan.training import identity
from kakusan.training.timetable import Timetable

Loaded = TypeVar("Loaded")
_SEED = 0
_SHOWN_LABEL = 3


def write_report(run: Run, lang: str, *, path: Path | None = None, device: str = "auto", show: bool = True) -> Path:
    """Writes the report of a run, finished or not, and returns where it is.

    Args:
        run: The run.
        lang: Language of the report.
        path: Where to; by default ``report.html`` in the run, which is replaced.
        device: Where its pictures are drawn.
        show: Whether to show progress.

    Raises:
        KakusanError: There is no such language or device; ``metrics.json`` is damaged; or the page cannot be written.
    """
    path = path or run.path / "report.html"
    atomic_write(path, render(language(lang), tell(run, device=device, show=show)))
    return path


def tell(run: Run, *, device: str = "auto", show: bool = True) -> Story:
    """Gathers what there is to tell of a run: its books, its measurements, and pictures from its last checkpoint."""
    device = str(resolve(device))  # refused here, for what goes wrong with a checkpoint is passed over
    settings = config.load(run.config_path)
    data = None if isinstance(settings.network, Customised) else _data(run, settings)
    story = _from_its_books(run, settings, data)
    if isinstance(settings.network, OwnNetwork):
        own = _own_network(run, settings.network.name)
        return replace(story, network=own, parameters=0 if own is None else own.parameters, undrawn="own_network")
    if isinstance(settings.network, Autoencoder):
        return _of_autoencoder(run, story, data, settings, device)
    if isinstance(settings.network, CLIP):
        return _of_clip(run, story, device)
    if isinstance(settings.network, Customised):
        return _of_customised(run, story, device)
    last = _last(run, partial(api.load, device=device))
    if last is None:
        return _undrawn(run, story)
    checkpoint, model = last
    (samples, prompts), sweep = _samples(model, show), story.measured.guidance
    return replace(
        story,
        parameters=story.measured.parameters or model.parameters,
        network=read(model.denoiser.network, model.latent_shape),
        class_names=model.class_names,
        drawn_after=checkpoint.images,
        samples=samples,
        prompts=prompts,
        recognised=_accuracy(story.judgement, model),
        walk=_walk(model),
        neighbours=None if data is None else neighbours(samples, Stored.of_run(data, settings)),
        guided=None if sweep is None else guidance.draw(model, sweep),
    )


def _from_its_books(run: Run, settings: config.Config, data: ImageSet | None) -> Story:
    """Returns what a run's files and its data tell, without any picture that its network draws."""
    lines, measured = run.metrics(), run.measured()
    seen = [line.get("images", 0) for line in lines] + [checkpoint.images for checkpoint in run.checkpoints()]
    return Story(
        run.name,
        settings,
        images=max(seen, default=0),
        total_images=_total_images(settings, run, data),
        judgement=best_judgement(judgements_in(lines), measured.judgement, settings.sampling),
        measured=measured,
        lines=lines,
        original=None if data is None else from_uint8(data.images[0]),
        # No lesson for every run: where it was measured, its points are made again, the same ones.
        mixture=mixture() if measured.mixture else None,
    )


def _accuracy(judgement: Judgement | None, model: Model) -> float | None:
    """Returns the share of samples such as the page shows that is recognised, if just such ones were judged."""
    if judgement is None or judgement.protocol.get("weights_hash") != model.weights_hash:
        return None
    how = sampling.plan(model, n=1, settings=model.sampling).settings
    return judgement.class_accuracy if judgement.drawn_by(how) else None


def _data(run: Run, settings: config.Config) -> ImageSet | None:
    """Returns the images that a run learns from; None where they are not to be had any more, or others in their
    place."""
    with suppress(KakusanError):
        images = feeding.images(settings.data)
        learned = ImageBatches(images)
        if isinstance(settings.network, CLIP):
            learned = learned.only(torch.tensor(captioned(images)))  # others have nothing to be told by
        identity.require_same_images(run, learned, settings.data.source, _state(run))
        return images
    return None


def _state(run: Run) -> dict[str, Any]:
    """Returns what the last checkpoint that can be read says; nothing where there is none."""
    for checkpoint in reversed(run.checkpoints()):
        with suppress(KakusanError):
            return checkpoint.state()
    return {}


def _total_images(settings: config.Config, run: Run, data: ImageSet | None) -> int:
    """Returns how many images a run sees in all; 0 where its length is in epochs of data that are not to be had."""
    if state := _state(run):
        return int(state.get("total_images", 0))
    if settings.training.epochs is not None and data is None:
        return 0
    images = 0 if data is None else len(data)
    timetable = Timetable.of(settings.training, images - kept_out(settings.data.held_out, images))
    return timetable.steps * settings.training.batch_size


def _of_autoencoder(run: Run, story: Story, data: ImageSet | None, settings: config.Config, device: str) -> Story:
    """Returns the story with what an autoencoder's last checkpoint makes of images, those held out if there are any."""
    last = _last(run, partial(api.load_autoencoder, device=device))
    if last is None:
        return _undrawn(run, story)
    checkpoint, codec = last
    story = replace(story, parameters=codec.parameters, drawn_after=checkpoint.images)
    return story if data is None else replace(story, reconstructed=reconstructed(codec, Stored.of_run(data, settings)))


def _of_clip(run: Run, story: Story, device: str) -> Story:
    """Returns the story of a CLIP, which draws nothing: how large it is."""
    last = _last(run, partial(api.load_clip, device=device))
    if last is None:
        return _undrawn(run, story)
    return replace(story, parameters=last[1].parameters, drawn_after=last[0].images)


def _of_customised(run: Run, story: Story, device: str) -> Story:
    """Returns the story of what a pipeline has learned: a row of pictures a prompt."""
    last = _last(run, partial(customising.restored, device=device))
    if last is None:
        return _undrawn(run, story)
    checkpoint, learned = last
    shown = customising.Showing.of(learned)
    _, columns = layout(0, learned.shape)
    images = shown.drawn(learned.base, columns)
    return replace(
        story,
        parameters=learned.parameters,
        drawn_after=checkpoint.images,
        samples=images.reshape(len(shown.prompts), columns, *images.shape[1:]),
        prompts=shown.prompts,
    )


def _undrawn(run: Run, story: Story) -> Story:
    """Returns the story of a run of which no checkpoint could be read."""
    return replace(story, undrawn="damaged" if run.checkpoints() else "no_checkpoint")


def _last(run: Run, load: Callable[..., Loaded]) -> tuple[Checkpoint, Loaded] | None:
    """Returns the last checkpoint that can be read, with what it holds; others are told of and passed over."""
    for checkpoint in reversed(run.checkpoints()):
        try:
            return checkpoint, load(run, checkpoint=checkpoint.images)
        except KakusanError as error:
            tell_user(f"no pictures from checkpoint {checkpoint.images}: {error}")
    return None


def _own_network(run: Run, name: str) -> Network | None:
    """Returns what the last checkpoint that can be read tells of a network of the user's own: how large it is."""
    for checkpoint in reversed(run.checkpoints()):
        with suppress(KakusanError):
            weights = read_tensors(checkpoint.weights_path("ema")).values()
            return Network(name, sum(weight.numel() for weight in weights if weight.is_floating_point()))
    return None


def _samples(model: Model, show: bool) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Draws rows of samples, a row a class or a caption that was learned from, shape (R, columns, C, H, W), and returns
    these captions as well."""
    rows, columns = layout(len(model.class_names), model.shape)
    labels = [label for label in range(rows) for _ in range(columns)] if model.class_names else None
    prompts = () if model.words is None or model.class_names else model.words.examples[:rows]
    rows = len(prompts) or rows
    told = [prompt for prompt in prompts for _ in range(columns)] or None
    images = api.sample(model, n=rows * columns, labels=labels, prompt=told, seed=_SEED, show=show)
    return images.cpu().reshape(rows, columns, *model.shape), prompts


def _walk(model: Model) -> list[Moment]:
    labels = [_SHOWN_LABEL % len(model.class_names)] if model.class_names else None
    steps = api.walk(model, n=1, labels=labels, seed=_SEED)
    return [Moment(float(step.t), step.x[0].cpu(), step.x0[0].cpu()) for step in steps]
