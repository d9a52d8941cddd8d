"""The whole story on embedded data: train on scanned digits, sample, judge, compare samplers, and write it all down."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kakusan import api, config, feeding, sampling
from kakusan.devices import machine
from kakusan.errors import KakusanError
from kakusan.evaluation.evaluate import Reference, evaluate, reference
from kakusan.files import atomic_write
from kakusan.model import Model
from kakusan.pictures import to_uint8
from kakusan.progress import Bar
from kakusan.results import Judgement, Measured, SamplerResult
from kakusan.seeing.sources import Stored
from kakusan.studies import guidance
from kakusan.studies.mixture import ends, mixture
from kakusan.studies.telling import write_report

PLACE = Path("runs/demo")
_PRESET = "digits"
_SEED = 0


_JUDGED = (("ddim", 50), ("ddim", 10), ("heun", 10))
"""The samplers that are judged, with their steps; the first is the run's own."""
_TIMED = ("ddpm", 1000, 100)
"""The whole chain costs a thousand calls: so many images time it and tell its accuracy, not its distance."""


def demo(
    path: Path = PLACE,
    overwrite: bool = False,
    *,
    lang: str = "en",
    overrides: Mapping[str, Any] | None = None,
    show: bool = True,
) -> dict[str, Any]:
    """Trains a model of the digits in ``path``, itself a run directory, and adds ``metrics.json`` and ``report.html``.

    Args:
        path: Where. An earlier demo in ``runs/demo``, its own place, is replaced.
        overwrite: Accept any other directory that holds files; a run in it is replaced.
        lang: Language of the report.
        show: Whether to say what goes on, on standard error.
        overrides: Fields of the preset to change, as in :func:`kakusan.api.train`: a shorter training, say.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        KakusanError: The directory holds files, or cannot be written.
        KeyboardInterrupt: Ctrl-C ended the training; its checkpoint is saved.
    """
    settings = config.load(_PRESET, overrides or {})
    if not getattr(settings.network, "class_conditional", False):
        raise KakusanError("the demo compares samples class by class: leave network.class_conditional true")
    started = time.perf_counter()
    run = api.train(_PRESET, run=path, overwrite=overwrite or path == PLACE, overrides=overrides, show=show)
    state = run.checkpoint().state()
    if state["images"] < state["total_images"]:
        raise KeyboardInterrupt
    train_seconds = time.perf_counter() - started

    model = api.load(run, device=settings.training.device)
    images = feeding.images(settings.data)
    real = reference(
        Stored.of_run(images, settings),
        n=settings.evaluation.n,
        splits=settings.evaluation.splits,
        device=settings.training.device,
        show=show,
    )
    judgements = {walk: _judge(model, real, settings.data.source, *walk, show) for walk in _JUDGED}
    judged = judgements[_JUDGED[0]]
    run.record({"evaluation": judged.as_dict()})
    measured = Measured(
        judgement=judged,
        train_seconds=round(train_seconds, 1),
        parameters=model.parameters,
        samplers=(_timed(model, real, *_TIMED, show), *(_result(judgement) for judgement in judgements.values())),
        guidance=guidance.measure(model, real.judge, images.images, show),
        mixture=ends(mixture()),
        machine=machine(),
    )
    measured = measured.model_copy(update={"total_seconds": round(time.perf_counter() - started, 1)})
    atomic_write(run.path / "metrics.json", json.dumps(measured.as_dict(), indent=2) + "\n")
    write_report(run, lang, device=settings.training.device, show=show)
    return measured.as_dict()


def _judge(model: Model, real: Reference, data: str, sampler: str, steps: int, show: bool) -> Judgement:
    how = sampling.settings(model.sampling, sampler=sampler, steps=steps)
    with Bar(f"{sampler} with {steps} steps", 1, show=show) as bar:
        return evaluate(model, real, settings=how, seed=_SEED, name=data, progress=bar.report)


def _result(judgement: Judgement) -> SamplerResult:
    """Returns what a judgement says of the sampler that drew."""
    protocol = judgement.protocol
    return SamplerResult(
        name=protocol["sampler"],
        steps=protocol["steps"],
        nfe=protocol["nfe"],
        seconds=round(judgement.seconds, 3),
        images=protocol["n"],
        class_accuracy=judgement.class_accuracy,
        frechet_distance=judgement.frechet_distance,
        frechet_distance_interval=judgement.frechet_distance_interval,
    )


def _timed(model: Model, real: Reference, sampler: str, steps: int, images: int, show: bool) -> SamplerResult:
    """Draws too few images for a distance, which tell time and accuracy all the same."""
    how = sampling.settings(model.sampling, sampler=sampler, steps=steps)
    plan = sampling.plan(model, n=images, settings=how, seed=_SEED)
    with Bar(f"{sampler} with {steps} steps", 1, show=show) as bar:
        before = time.perf_counter()
        drawn = to_uint8(sampling.sample(plan, bar.report))
        seconds = time.perf_counter() - before
    assert plan.labels is not None, "the digits have classes"
    return SamplerResult(
        name=sampler,
        steps=steps,
        nfe=plan.network_calls,
        seconds=round(seconds, 3),
        images=images,
        class_accuracy=real.judge.recognised(drawn, plan.labels),
    )
