"""A run from its settings to its last checkpoint: begun in a new directory, or gone on with."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from shlex import quote
from typing import Any

from torch import nn

from kakusan import build, config
from kakusan.config.names import PYTHON
from kakusan.data.batches import Batches, ImageBatches, LoaderBatches
from kakusan.data.sources import absolute
from kakusan.errors import KakusanError, counted
from kakusan.files import claimed, require_free
from kakusan.model import Model
from kakusan.progress import say
from kakusan.runs import Run
from kakusan.training.engine import Engine, Outcome
from kakusan.training.initial import start_from
from kakusan.training.introduction import introduction
from kakusan.training.tasks.denoising import Denoising
from kakusan.training.validation import Validation, hold_out

# What may be changed of a run that goes on: anything else would make it another run.
_RESUMABLE = (
    "training.steps",
    "training.images",
    "training.epochs",
    "training.device",
    "training.compile",
    "training.microbatch",
    "training.tf32",
    "training.channels_last",
    "training.activation_checkpointing",
    "training.log_every",
    "training.checkpoint_every",
    "training.samples_every",
    "training.validate_every",
    "training.tracker",
    "training.keep",
)


def begin(
    settings: config.Config,
    path: str | Path,
    *,
    data: object = None,
    network: nn.Module | None = None,
    class_names: Sequence[str] = (),
    loaders_batch_size: bool = False,
    overwrite: bool = False,
    show: bool = True,
) -> Run:
    """Trains a denoiser in a new run directory, which describes itself.

    Args:
        settings: Everything that decides the run.
        path: The directory, new or empty.
        data, network, class_names: What was given in Python, as in :func:`kakusan.build.feed`.
        loaders_batch_size: Whether the size of a loader's batches goes before that of the settings.
        overwrite: Accept a directory that holds files; a run in it is replaced, once this one has a checkpoint.
        show: Whether to show progress.

    Raises:
        KakusanError: Something asked for cannot be had, or another training writes there; or the loss became NaN or
            infinite again and again. Whatever ends the run before its first checkpoint, the directory is as it was.
    """
    require_free(path, overwrite)
    feed = build.feed(settings, data, network, class_names)
    if loaders_batch_size and isinstance(feed.batches, LoaderBatches):
        settings = config.from_mapping(settings.model_dump(), {"training.batch_size": feed.batches.batch_size})
    model = build.model(settings, feed.batches.shape, feed.class_names, network)
    batches, validation = held_out(feed.batches, settings)
    started = _start_from(model, settings)
    engine = engine_of(model, batches, validation, settings, show)
    path = Path(engine.agree(str(path)))  # which may name the second in which a process chose it
    lines = [introduction(model, batches.epoch, settings), *started, *feed.remarks]
    if not engine.keeps_books:
        return _train(engine, Run(path), lines, show)
    with claimed(path):
        run = Run.create(path, overwrite)
        try:
            run.write_config(config.to_yaml(_portable(settings)))
            return _train(engine, run, lines, show)
        except BaseException:
            if not run.checkpoints():
                run.undo()
            raise


def resume(
    run: Run,
    changes: Mapping[str, Any],
    *,
    data: object = None,
    network: nn.Module | None = None,
    class_names: Sequence[str] = (),
    show: bool = True,
) -> Run:
    """Goes on with a run from its last checkpoint, or from the start where it has none; one that is finished stays.

    Args:
        run: The run.
        changes: Fields to change, of those that leave it the same run.
        data, network, class_names: What the run was given in Python, once more.
        show: Whether to show progress.

    Raises:
        KakusanError: A change would make another run, the run is longer than asked for, another training writes there,
            or its checkpoint cannot be read; or the loss became NaN or infinite again and again.
    """
    given_again = {"network.kind", "network.name"} | ({"data.source"} if data is not None else set())
    for key in changes.keys() - given_again:
        if key not in _RESUMABLE:
            raise KakusanError(
                f"{key} cannot change in a run that goes on: only its length, device and what it writes can "
                f"({', '.join(_RESUMABLE)}); start another run instead"
            )
    settings = config.load(run.config_path, changes)
    state = run.checkpoint().state() if run.checkpoints() else None
    if state is not None and settings.data.source.startswith(PYTHON):
        class_names = class_names or state.get("class_names", ())  # which a loader need not name again
    feed = build.feed(settings, data, network, class_names)
    model = build.model(settings, feed.batches.shape, feed.class_names, network)
    shape, classes = list(model.shape), list(model.class_names)
    if state is not None and (state.get("shape"), state.get("class_names")) != (shape, classes):
        raise KakusanError(
            f"{run.path} learned images of shape {state.get('shape')} and classes {state.get('class_names')}, and "
            f"these are of shape {shape} and classes {classes}: "
            "give the images that it was trained on"
        )
    there = feed.batches.epoch
    if state is not None and isinstance(feed.batches, ImageBatches) and state.get("epoch", there) != there:
        raise KakusanError(
            f"{run.path} learned from {counted(state['epoch'], 'image')}, and there are {there:,} in "
            f"{settings.data.source} now: their order would be another, and those held out would be learned from "
            "(give the images that it was trained on)"
        )
    batches, validation = held_out(feed.batches, settings)
    started = [] if state is not None else _start_from(model, settings)
    engine = engine_of(model, batches, validation, settings, show)
    with claimed(run.path) if engine.keeps_books else nullcontext():
        engine.resume(run)
        if state is not None and engine.step >= engine.total_steps:
            seen = f"it has seen {counted(engine.images, 'image')} in {counted(engine.step, 'step')}"
            more = "give a greater length to go on, such as --steps"
            if engine.total_images < engine.images:
                raise KakusanError(f"{run.path} is longer already: {seen}, not {engine.total_images:,} ({more})")
            if show and engine.keeps_books:
                say(f"{run.path} is finished: {seen} ({more})")
            return run
        if engine.keeps_books:
            run.write_config(config.to_yaml(_portable(settings)))
        return _train(engine, run, [introduction(model, batches.epoch, settings), *started, *feed.remarks], show)


def _start_from(model: Model, settings: config.Config) -> list[str]:
    init = settings.network.init
    return [] if init is None else [start_from(model.denoiser.network, init)]


def held_out(batches: Batches, settings: config.Config) -> tuple[Batches, Validation | None]:
    """Returns what is learned from and what is judged on."""
    training = settings.training
    chunk = min(training.microbatch or training.batch_size, training.batch_size)
    return hold_out(batches, settings.data.held_out, training.seed, chunk)


def task_of(model: Model, settings: config.Config) -> Denoising:
    """Returns what a model is to learn."""
    return Denoising(model, build.times(settings.objective), settings.objective.condition_dropout, settings.sampling)


def engine_of(
    model: Model, batches: Batches, validation: Validation | None, settings: config.Config, show: bool
) -> Engine:
    """Returns what trains a model as configured."""
    kept_out = 0 if validation is None else len(validation)
    return Engine(
        task_of(model, settings),
        batches,
        optimizer=settings.optimizer,
        ema=settings.ema,
        training=settings.training,
        guard=settings.guard,
        validation=validation,
        facts={
            "shape": list(model.shape),
            "class_names": list(model.class_names),
            "epoch": batches.epoch + kept_out,
        },
        show=show,
    )


def _train(engine: Engine, run: Run, lines: Sequence[str], show: bool) -> Run:
    """Says and logs the ``lines`` of what is about to be learned, and learns it."""
    if not engine.keeps_books:
        _end(engine.train(run))
        return run
    for line in (*lines, f"training from {engine.images:,} to {counted(engine.total_images, 'image')} in {run.path}"):
        run.log(line)
        if show:
            say(line)
    outcome = engine.train(run)
    how = "interrupted" if outcome.interrupted else "finished"
    run.log(f"{how} after {counted(outcome.images, 'image')}, {outcome.seconds:.1f} s")
    if outcome.interrupted and show:
        say(
            f"interrupted after {counted(outcome.images, 'image')}, which are saved "
            f"(go on: kakusan train --resume {quote(str(run.path))})"
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
    if settings.network.init is not None:
        changes["network.init"] = str(Path(settings.network.init).resolve())
    return config.from_mapping(settings.model_dump(), changes)
