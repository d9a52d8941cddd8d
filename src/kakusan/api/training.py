"""Training from a notebook: a run from a preset, a network and data of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import nn

from kakusan import build, config
from kakusan.api.examining import examination
from kakusan.config.names import PYTHON
from kakusan.data.images import ImageSet
from kakusan.data.sources import source_named
from kakusan.errors import KakusanError
from kakusan.files import free_path
from kakusan.parametrization import Parametrization
from kakusan.progress import say
from kakusan.runs import Run
from kakusan.schedules import Schedule
from kakusan.training import start


def train(
    preset: str | Path | config.Config | None = None,
    *,
    run: str | Path | None = None,
    resume: str | Path | Run | None = None,
    network: nn.Module | None = None,
    data: str | Path | ImageSet | Iterable[Any] | None = None,
    class_names: Sequence[str] = (),
    schedule: Schedule | str | None = None,
    parametrization: Parametrization | str | None = None,
    steps: int | None = None,
    images: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    show: bool = True,
) -> Run:
    """Trains a denoiser, an autoencoder, a CLIP, or what learns of a pipeline, and returns its run; Ctrl-C saves a
    checkpoint and returns as well.

    Args:
        preset: A preset, the path of a YAML file, or a configuration; without one the defaults.
        run: The directory to write, new or empty; by default
            ``runs/<name>-<date>-<time>`` after the preset, or the kind of network where there is no preset's name.
        resume: A run to go on with, in place of ``preset`` and ``run``: from its last checkpoint, or from the start
            where it has none yet. With ``steps``, ``images`` or ``epochs`` it is extended; a finished one stays. What
            the run was given in Python, a network or a loader, must be given again.
        network: A network of your own, called as ``network(x, clock)`` or ``network(x, clock, condition)``. It is
            trained in place.
        data: A source of images by name or path, an :class:`ImageSet`, or a ``DataLoader`` that yields images in
            [−1, 1], alone or with labels. Its order is its own, so such a run resumes but does not repeat exactly.
        class_names: The classes that condition a network of your own, where the data do not name them.
        schedule: A schedule, or the name of its kind.
        parametrization: A parametrization, or the name of its kind.
        steps, images, epochs: How long; one of them.
        batch_size, seed, device: Those fields of the section ``training``.
        overrides: Any field: ``{"optimizer.learning_rate": 1e-3}``, or by section, ``{"optimizer": {...}}``.
        overwrite: Accept a directory that holds files; a run in it is replaced, once this one has a checkpoint.
        show: Whether to show progress.

    Raises:
        KakusanError: Something asked for cannot be had; or the loss became NaN or infinite again and again. Whatever
            ends a new run before its first line of books, the directory is then as it was.

    On a CPU this process keeps from now on the memory that a step frees, for the next one, and does not return it.
    """
    for name, value in {"preset": preset, "run": run, "resume": resume}.items():
        if value is not None and not isinstance(value, (str, Path, Run, config.Config)):
            raise KakusanError(f"{name} must be a name or a path, not a {type(value).__name__}")
    given = _fields(
        overrides,
        data=data,
        network=network,
        schedule=schedule,
        parametrization=parametrization,
        training={
            "steps": steps,
            "images": images,
            "epochs": epochs,
            "batch_size": batch_size,
            "seed": seed,
            "device": device,
        },
    )
    if resume is not None:
        if preset is not None or run is not None:
            raise KakusanError("resume names the run to go on with: leave out preset and run")
        there = start.resume(
            Run.open(resume),
            given,
            data=data,
            network=network,
            class_names=class_names,
            examiner=examination,
            show=show,
        )
        return _published(there, show)

    settings = _settings(preset, given, data)
    name = preset if isinstance(preset, str) and "/" not in preset else settings.network.kind
    there = start.begin(
        settings,
        run if run is not None else free_path(f"runs/{Path(name).stem}-{datetime.now():%Y-%m-%d-%H%M%S}"),
        data=data,
        network=network,
        class_names=class_names,
        loaders_batch_size="training.batch_size" not in given,
        overwrite=overwrite,
        examiner=examination,
        show=show,
    )
    return _published(there, show)


def _published(run: Run, show: bool) -> Run:
    """Returns a run; what one has taught a pipeline also lies there as files that others read."""
    first = os.environ.get("RANK", "0") == "0"  # of several processes one writes
    settings = config.load(run.config_path)
    if isinstance(settings.network, config.models.Customised) and first:
        from kakusan.customising.publishing import publish

        for line in publish(run, settings.training.device):
            run.log(line)
            if show:
                say(line)
    return run


def _fields(
    overrides: Mapping[str, Any] | None,
    *,
    data: object,
    network: nn.Module | None,
    schedule: Schedule | str | None,
    parametrization: Parametrization | str | None,
    training: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns what :func:`train` was given as fields of the configuration."""
    fields: dict[str, Any] = {}
    for name, value in (overrides or {}).items():
        fields |= _section(name, value) if isinstance(value, Mapping) else {name: value}
    fields |= _section("training", {name: value for name, value in training.items() if value is not None})
    if schedule is not None:
        fields |= _section("schedule", schedule if isinstance(schedule, str) else build.schedule_settings(schedule))
    if parametrization is not None:
        fields |= _section("parametrization", build.parametrization_settings(parametrization))
    if network is not None:
        build.require_network(network)
        fields |= _section("network", {"kind": "own", "name": type(network).__name__})
    if isinstance(data, (str, Path)):
        fields["data.source"] = source_named(data)
    return fields


def _section(section: str, settings: Mapping[str, object] | str) -> dict[str, object]:
    if isinstance(settings, str):
        settings = {"kind": settings}
    return {f"{section}.{name}": value for name, value in settings.items()}


def _settings(preset: str | Path | config.Config | None, given: dict[str, Any], data: object) -> config.Config:
    if data is not None and not isinstance(data, (str, Path)):
        name = data.name if isinstance(data, ImageSet) else type(data).__name__
        given = {**given, "data.source": f"{PYTHON}{name}"}
    if isinstance(preset, config.Config):
        return config.changed(preset, given)
    return config.from_mapping({}, given) if preset is None else config.load(preset, given)
