"""A run from its settings to its last checkpoint: begun in a new directory, or gone on with."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from torch import nn

from kakusan import build, config, customising, feeding, latents, texts
from kakusan.build import Learner
from kakusan.codec import Codec
from kakusan.config.names import MODELS, PYTHON
from kakusan.customising import Customised
from kakusan.data.batches import Batch, Batches, ImageBatches, LoaderBatches
from kakusan.data.sources import absolute, portable
from kakusan.devices import keep_freed_memory
from kakusan.errors import KakusanError, counted
from kakusan.feeding import Feed
from kakusan.files import claimed, require_free
from kakusan.matcher import Matcher
from kakusan.model import Model
from kakusan.networks import CLIP, Captioned
from kakusan.progress import say
from kakusan.runs import Run
from kakusan.texts import Reader
from kakusan.training import identity
from kakusan.training.engine import Engine, Outcome
from kakusan.training.examination import Examination, Examine
from kakusan.training.initial import start_from
from kakusan.training.introduction import introduction
from kakusan.training.processes import Processes
from kakusan.training.task import Task
from kakusan.training.tasks.contrast import Contrast
from kakusan.training.tasks.customising import Customising
from kakusan.training.tasks.denoising import Denoising
from kakusan.training.tasks.reconstruction import Reconstruction
from kakusan.training.validation import Validation, hold_out
from kakusan.words import Words

_PREVIEWED, _MATCHED = 8, 24  # images of a preview, and pairs
_LONG = 500  # characters of what is said

Learned = Learner | Customised
Examiner = Callable[[config.models.Evaluation, Model, ImageBatches, torch.device, bool], Examine]
"""Makes what measures samples now and then, from how, the model, what it learns from, the device, and whether to show
how it gets ready. What it needs beforehand it asks for now, and not hours later."""


def begin(
    settings: config.Config,
    path: str | Path,
    *,
    data: object = None,
    network: nn.Module | None = None,
    class_names: Sequence[str] = (),
    loaders_batch_size: bool = False,
    overwrite: bool = False,
    examiner: Examiner | None = None,
    show: bool = True,
) -> Run:
    """Trains a denoiser, an autoencoder, a CLIP, or what learns of a pipeline, in a new run directory, which describes
    itself.

    Args:
        settings: Everything that decides the run.
        path: The directory, new or empty.
        data, network, class_names: What was given in Python, as in :func:`kakusan.feeding.feed`.
        loaders_batch_size: Whether the size of a loader's batches goes before that of the settings.
        overwrite: Accept a directory that holds files; a run in it is replaced, once this one has a checkpoint.
        examiner: Makes what measures samples now and then.
        show: Whether to show progress.

    Raises:
        KakusanError: Something asked for cannot be had, or another training writes there; or the loss became NaN or
            infinite again and again. What ends the run before its first checkpoint leaves its books, where it has
            any and replaces no other; else the directory is as it was.
    """
    processes = Processes.launched(settings.training.device)
    show = show and processes.first
    if processes.first:
        require_free(path, overwrite)
    path = Path(processes.agree(str(path)))  # which may name the second in which a process chose it
    made = _made(settings, processes, data, network, class_names, loaders_batch_size, show)
    engine, about = _ready(made, processes, examiner, show)
    lines = [about, *made.said, *made.feed.remarks]
    if not processes.first:
        return _train(engine, Run(path), lines, show)
    with claimed(path):
        run = Run.create(path, overwrite)
        try:
            made.keep(run)
            run.write_config(config.to_yaml(_portable(made.settings)))
            return _train(engine, run, lines, show)
        except BaseException:
            # What its books say of a failure is worth more than an empty place.
            if not run.checkpoints() and (run.replaces or not run.metrics()):
                run.undo()
            raise


def resume(
    run: Run,
    changes: Mapping[str, Any],
    *,
    data: object = None,
    network: nn.Module | None = None,
    class_names: Sequence[str] = (),
    examiner: Examiner | None = None,
    show: bool = True,
) -> Run:
    """Goes on with a run from its last checkpoint, or from the start where it has none; one that is finished stays.

    Args:
        run: The run.
        changes: Fields to change, of those that leave it the same run.
        data, network, class_names: What the run was given in Python, once more.
        examiner: Makes what measures samples now and then.
        show: Whether to show progress.

    Raises:
        KakusanError: A change would make another run, the run is longer than asked for, another training writes there,
            or its checkpoint cannot be read; or the loss became NaN or infinite again and again.
    """
    identity.require_resumable(changes)
    settings = config.load(run.config_path, changes)
    state = run.checkpoint().state() if run.checkpoints() else None
    if state is not None:
        identity.require_same(run, settings, state)
    processes = Processes.launched(settings.training.device)
    show = show and processes.first
    if state is not None and settings.data.source.startswith(PYTHON):
        class_names = class_names or state.get("class_names", ())  # which a loader need not name again
    made = _made_again(run, settings, processes, data, network, class_names, state is None, show)
    if state is not None:
        identity.require_alike(run, made.model, state)
    if state is not None and isinstance(made.feed.batches, ImageBatches):
        identity.require_same_images(run, made.feed.batches, settings.data.source, state)
    anew = [] if state is not None else [f"{run.path} was ended before its first checkpoint, and begins anew"]
    engine, about = _ready(made, processes, examiner, show)
    with claimed(run.path) if processes.first else nullcontext():
        engine.resume(run)
        if state is not None and engine.step >= engine.total_steps:
            seen = f"it has seen {counted(engine.images, 'image')} in {counted(engine.step, 'step')}"
            more = "give a greater length to go on, such as --steps"
            if engine.total_images < engine.images:
                raise KakusanError(f"{run.path} is longer already: {seen}, not {engine.total_images:,} ({more})")
            engine.catch_up(run)
            if show:
                say(f"{run.path} is finished: {seen} ({more})")
            return run
        if processes.first:
            run.write_config(config.to_yaml(_portable(settings)))
        return _train(engine, run, [*anew, about, *made.said, *made.feed.remarks], show)


@dataclass(frozen=True)
class _Made:
    """What is to be trained, before its first step.

    Attributes:
        settings: Of the run, in which a loader may have changed the size of a batch.
        model: What learns.
        feed: From what.
        said: What is to be said of the weights that it begins with.
        keep: Keeps what a run needs beside its checkpoints.
    """

    settings: config.Config
    model: Learned
    feed: Feed
    said: tuple[str, ...] = ()
    keep: Callable[[Run], None] = lambda run: None


def _made(
    settings: config.Config,
    processes: Processes,
    data: object,
    network: nn.Module | None,
    class_names: Sequence[str],
    loaders_batch_size: bool,
    show: bool,
) -> _Made:
    if isinstance(settings.network, config.models.Customised):
        prepared = customising.prepared(settings, processes.device, data, show, once=processes.once)
        said = _start_from(prepared.learned, settings, None)
        return _Made(settings, prepared.learned, prepared.feed, said, prepared.keep)
    reader = texts.opened(settings.text)
    words = texts.words_to_begin_with(settings, reader)
    feed = feeding.feed(settings, data, network, class_names, show, words)
    codec = latents.opened(settings.data, feed.batches.shape, settings.training.device)
    if loaders_batch_size and isinstance(feed.batches, LoaderBatches):
        settings = config.changed(settings, {"training.batch_size": feed.batches.batch_size})
    model = build.learner(settings, feed.batches.shape, feed.class_names, network, codec, feed.words)

    def keep(run: Run) -> None:
        if codec is not None:
            latents.write(codec, run.autoencoder_path)
        if feed.words is not None:
            feed.words.write(run.words_path)

    return _Made(settings, model, feed, _start_from(model, settings, reader), keep)


def _made_again(
    run: Run,
    settings: config.Config,
    processes: Processes,
    data: object,
    network: nn.Module | None,
    class_names: Sequence[str],
    anew: bool,
    show: bool,
) -> _Made:
    """Returns likewise what a run trains, from what it has kept; with the weights to begin with where it begins
    ``anew``, and else as drawn, for a checkpoint to replace."""
    if isinstance(settings.network, config.models.Customised):
        prepared = customising.again(settings, processes.device, data, run, show)
        said = _start_from(prepared.learned, settings, None) if anew else ()
        return _Made(settings, prepared.learned, prepared.feed, said)
    words = Words.read(run.words_path) if settings.reads_text else None
    feed = feeding.feed(settings, data, network, class_names, show, words)
    codec = latents.kept(run, settings.data, settings.training.device)
    model = build.learner(settings, feed.batches.shape, feed.class_names, network, codec, feed.words)
    said = _start_from(model, settings, texts.opened(settings.text)) if anew else ()
    return _Made(settings, model, feed, said)


def _ready(made: _Made, processes: Processes, examiner: Examiner | None, show: bool) -> tuple[Engine, str]:
    """Returns what trains a model, and one line about both."""
    model, settings = made.model, made.settings
    feed = _in_latents(made.feed, model.codec if isinstance(model, Model) else None, settings, processes, show)
    batches, validation = held_out(feed.batches, settings, processes)
    examination = _examination(examiner, settings, model, batches, processes, show)
    engine = engine_of(model, batches, validation, settings, show, processes, examination)
    return engine, introduction(model, batches.epoch, _count(validation), settings)


def _in_latents(feed: Feed, codec: Codec | None, settings: config.Config, processes: Processes, show: bool) -> Feed:
    """Returns a feed in latents, where there is a codec: one process encodes, and the others find what it has put
    down."""
    if codec is None:
        return feed
    if not processes.first:
        processes.wait()
    found = latents.encoded(feed, codec, settings.data, show)
    if processes.first:
        processes.wait()
    return found


def _start_from(model: Learned, settings: config.Config, reader: Reader | None) -> tuple[str, ...]:
    """Gives a network the weights that it begins with, and returns what is to be said of that."""
    said = []
    if settings.network.init is not None:
        said.append(start_from(model.network, settings.network.init))
    if reader is not None and isinstance(model.network, (Captioned, CLIP)):
        model.network.text.load_state_dict(reader.text.state_dict())
        how = "as it is" if settings.text.frozen else "from which it learns on"
        said.append(f"reads captions by the text encoder of {settings.text.init}, {how}")
    return tuple(said)


def _examination(
    examiner: Examiner | None,
    settings: config.Config,
    model: Learned,
    batches: Batches,
    processes: Processes,
    show: bool,
) -> Examination | None:
    """Returns what measures samples now and then, where that is wished for. The first process alone does it, but all
    keep its timetable: there are checkpoints and held-out losses at its moments."""
    if examiner is None or not settings.evaluation.every or not isinstance(model, Model):
        return None
    if not isinstance(batches, ImageBatches):
        raise KakusanError(
            "evaluation.every needs images to compare samples with, not a data loader (set it to 0, or give a folder "
            "or an ImageSet)"
        )
    if not processes.first:
        return Examination(settings.evaluation.every, None)
    return Examination(settings.evaluation.every, examiner(settings.evaluation, model, batches, processes.device, show))


def held_out(batches: Batches, settings: config.Config, processes: Processes) -> tuple[Batches, Validation | None]:
    """Returns what is learned from and what is judged on."""
    training = settings.training
    share = max(1, training.batch_size // processes.count)
    return hold_out(batches, settings.data.held_out, training.seed, min(training.microbatch or share, share))


def task_of(model: Learned, batches: Batches, settings: config.Config) -> Task:
    """Returns what is to be learned, and by what, from batches."""
    match model, settings.objective:
        case Model(), config.models.Denoising() as how:
            return Denoising(model, build.times(how), how.condition_dropout, settings.sampling)
        case Codec(), config.models.Reconstruction() as how:
            shown = _first(batches, _PREVIEWED).images
            return Reconstruction(model, how, shown, build.perception(how, settings.training))
        case Matcher(), config.models.Contrast():
            return Contrast(model, _first(batches, _MATCHED))
        case Customised(), config.models.Customising():
            return Customising(model)
    raise AssertionError("a configuration's network learns what its objective says")


def _first(batches: Batches, count: int) -> Batch:
    """Returns the images of a preview, always the same; of a loader, which hands out each once, none."""
    if not isinstance(batches, ImageBatches):
        return Batch(torch.empty(0, *batches.shape))
    return batches.at(batches.numbers[:count], torch.device("cpu"))


def engine_of(
    model: Learned,
    batches: Batches,
    validation: Validation | None,
    settings: config.Config,
    show: bool,
    processes: Processes | None = None,
    examination: Examination | None = None,
) -> Engine:
    """Returns what trains a model as configured."""
    facts: dict[str, Any] = {
        "shape": list(model.shape),
        "class_names": list(model.class_names),
        "settings": identity.lasting(_portable(settings)),  # as the run keeps them
        "autoencoder": identity.autoencoder_of(model),
        "pipeline": identity.pipeline_of(model),
    }
    if isinstance(batches, ImageBatches):
        facts |= {
            "epoch": batches.epoch + _count(validation),
            "fingerprint": batches.fingerprint,
            "words": batches.told,
        }
    return Engine(
        task_of(model, batches, settings),
        batches,
        optimizer=settings.optimizer,
        ema=settings.ema,
        training=settings.training,
        guard=settings.guard,
        validation=validation,
        examination=examination,
        facts=facts,
        processes=processes,
        show=show,
    )


def _count(validation: Validation | None) -> int:
    return 0 if validation is None else len(validation)


def _train(engine: Engine, run: Run, lines: Sequence[str], show: bool) -> Run:
    """Says and logs the ``lines`` of what is about to be learned, and learns it."""
    if engine.device.type == "cpu":
        keep_freed_memory()
    if not engine.keeps_books:
        _end(engine.train(run))
        return run
    for line in (*lines, f"training from {engine.images:,} to {counted(engine.total_images, 'image')} in {run.path}"):
        run.log(line)
        if show:
            say(line if len(line) < _LONG else f"{line[:_LONG]} … (the rest stands in log.txt)")
    try:
        outcome = engine.train(run)
    except KakusanError as error:
        with suppress(KakusanError):  # on a full disk, say, which may be what ended it
            run.log(f"ended by an error: {error}")
        raise
    how = "interrupted" if outcome.interrupted else "finished"
    run.log(f"{how} after {counted(outcome.images, 'image')}, {outcome.seconds:.1f} s")
    if outcome.interrupted and show:
        taught = isinstance(config.load(run.config_path).network, config.models.Customised)
        say(
            f"interrupted after {counted(outcome.images, 'image')}, which are saved "
            f"(go on: kakusan {'finetune' if taught else 'train'} --resume {quote(str(run.path))})"
        )
    _end(outcome)
    return run


def _end(outcome: Outcome) -> None:
    """Ends the process where that was asked for, now that all is saved: who trains in a script shall not go on."""
    if outcome.terminate:
        signal.raise_signal(signal.SIGTERM)


def _portable(settings: config.Config) -> config.Config:
    """Returns the settings with paths in full: a run is gone on with from other directories too."""
    changes: dict[str, Any] = {"data.source": absolute(settings.data.source)}
    if settings.data.latent is not None:
        changes["data.latent"] = portable(settings.data.latent)
    if settings.text.init is not None:
        changes["text.init"] = portable(settings.text.init)
    if settings.network.init is not None:
        changes["network.init"] = str(Path(settings.network.init).resolve())
    if isinstance(settings.network, config.models.Customised) and settings.network.model not in MODELS:
        changes["network.model"] = portable(settings.network.model)
    if isinstance(settings.objective, config.models.Customising) and settings.objective.prior is not None:
        changes["objective.prior"] = absolute(settings.objective.prior)
    return config.changed(settings, changes)
