"""The whole story on embedded data: train on scanned digits, sample, judge, compare samplers, and write it all down."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kakusan import api, build, config, sampling
from kakusan.evaluation.evaluate import Judgement, Reference, evaluate, reference
from kakusan.files import atomic_write
from kakusan.model import Model
from kakusan.pictures import to_uint8
from kakusan.progress import Bar
from kakusan.reporting.sections.mixture import ends
from kakusan.studies import guidance
from kakusan.studies.mixture import mixture
from kakusan.studies.telling import machine, write_report

PLACE = Path("runs/demo")
_PRESET = "digits"
_SEED = 0


@dataclass(frozen=True)
class Contender:
    """A sampler in the comparison.

    Attributes:
        sampler: Its name.
        steps: Its steps.
        images: How many to draw; None draws as many as a distance takes.
    """

    sampler: str
    steps: int
    images: int | None = None


# The whole chain costs a thousand calls: a hundred images time it and tell its accuracy, not its distance.
_CONTENDERS = (Contender("ddpm", 1000, images=100), Contender("ddim", 50), Contender("ddim", 10), Contender("heun", 10))


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
    started = time.perf_counter()
    run = api.train(_PRESET, run=path, overwrite=overwrite or path == PLACE, overrides=overrides, show=show)
    state = run.checkpoint().state()
    if state["images"] < state["total_images"]:
        raise KeyboardInterrupt
    train_seconds = time.perf_counter() - started

    settings = config.load(run.config_path)
    model = api.load(run, device=settings.training.device)
    images = build.images(settings.data)
    real = reference(
        images,
        n=settings.evaluation.n,
        splits=settings.evaluation.splits,
        device=settings.training.device,
        show=show,
    )
    rows, judged = _compare(model, real, settings, show)
    run.record({"evaluation": judged.as_dict()})
    metrics: dict[str, Any] = {
        **judged.as_dict(),
        "train_seconds": round(train_seconds, 1),
        "total_seconds": 0.0,
        "parameters": sum(parameter.numel() for parameter in model.denoiser.parameters()),
        "samplers": rows,
        "guidance": guidance.measure(model, real.judge, show),
        "real_saturated": guidance.saturated(images.images),
        "mixture": {name: [asdict(mode) for mode in found] for name, found in ends(mixture()).items()},
        "machine": machine(),
    }
    metrics["total_seconds"] = round(time.perf_counter() - started, 1)
    atomic_write(run.path / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    write_report(run, lang, device=settings.training.device, show=show)
    return metrics


def _compare(
    model: Model, real: Reference, settings: config.Config, show: bool
) -> tuple[list[dict[str, Any]], Judgement]:
    """Returns a row for every contender, and the judgement of the one that the run samples with by default."""
    rows, judgements = [], {}
    for contender in _CONTENDERS:
        how = sampling.settings(model.sampling, sampler=contender.sampler, steps=contender.steps)
        with Bar(f"{contender.sampler} with {contender.steps} steps", 1, show=show) as bar:
            if contender.images is None:
                judged = evaluate(model, real, settings=how, seed=_SEED, name=settings.data.source, progress=bar.report)
                judgements[contender.sampler, contender.steps] = judged
                accuracy, distance, seconds = judged.class_accuracy, judged.frechet_distance, judged.seconds
                spread = judged.frechet_distance_spread
                images, calls = real.n, judged.protocol["nfe"]
            else:
                plan = sampling.plan(model, n=contender.images, settings=how, seed=_SEED)
                before = time.perf_counter()
                drawn = to_uint8(sampling.sample(plan, bar.report))
                seconds, images, calls = time.perf_counter() - before, plan.n, plan.network_calls
                distance, spread = None, None
                assert plan.condition is not None, "the digits have classes"
                accuracy = real.judge.recognised(drawn, plan.condition.labels)
        rows.append(
            {
                "name": contender.sampler,
                "steps": contender.steps,
                "nfe": calls,
                "seconds": round(seconds, 3),
                "images": images,
                "class_accuracy": accuracy,
                "frechet_distance": distance,
                "frechet_distance_spread": spread,
            }
        )
    return rows, judgements["ddim", 50]
