"""What a training will cost, from some seconds of it: time, memory, disk, and what to change first."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kakusan import build, config, feeding, latents, sampling, texts
from kakusan.build import Learner
from kakusan.config.models import Evaluation
from kakusan.data.batches import Batches
from kakusan.data.parting import kept_out
from kakusan.denoiser import modules_in
from kakusan.devices import device_of, keep_freed_memory, memory_of, peak_memory, resolve, synchronize
from kakusan.files import atomic_write
from kakusan.model import Model
from kakusan.networks.mode import evaluating
from kakusan.progress import Bar
from kakusan.results import Forecast
from kakusan.sampling import Plan
from kakusan.seeds import Draws
from kakusan.studies.advice import advice
from kakusan.tensors import pack
from kakusan.training.precision import Precision
from kakusan.training.processes import Processes
from kakusan.training.rehearsal import Stopwatch, rehearse
from kakusan.training.start import engine_of, held_out, task_of
from kakusan.training.task import Task
from kakusan.training.tasks.denoising import Denoising
from kakusan.training.timetable import Timetable
from kakusan.training.validation import Validation

SECONDS = 20.0  # of measurement, most of them for training
_TRAINING, _SAMPLING, _PEAK = 0.7, 0.2, 0.1  # shares of it
_ENDLESS = 10**12
_LINE = 250  # bytes of a line of metrics.jsonl, about
_SIDES = (512, 1024, 2048, 4096, 8192)  # of the matrices whose product shows what a device can do


def forecast(settings: config.Config, source: str, seconds: float = SECONDS, show: bool = True) -> Forecast:
    """Measures the beginning of a training and tells what the whole of it will cost. Nothing is kept.

    Args:
        settings: What would be trained.
        source: What they are called.
        seconds: How long to measure, about; compiling comes on top.
        show: Whether to show progress.

    Raises:
        KakusanError: The training could not begin: data, network or device are wanting, or a batch does not fit.
    """
    words = texts.words_to_begin_with(settings, texts.opened(settings.text))
    feed = feeding.feed(settings, None, None, (), show, words)
    codec = latents.opened(settings.data, feed.batches.shape, settings.training.device)
    model = build.learner(settings, feed.batches.shape, feed.class_names, codec=codec, words=feed.words)
    learned = (
        None
        if feed.batches.epoch is None
        else feed.batches.epoch - kept_out(settings.data.held_out, feed.batches.epoch)
    )
    encoding, encoded = 0.0, 0
    if codec is not None:
        feed, encoding, encoded = latents.tried(feed, codec, settings.data)
    processes = Processes(resolve(settings.training.device))
    batches, validation = held_out(feed.batches, settings, processes)
    if processes.device.type == "cpu":
        keep_freed_memory()
    timetable = Timetable.of(settings.training, learned, settings.evaluation.every)
    steps = timetable.steps
    with Bar("measuring", round(seconds), show=show) as bar:
        stopwatch = Stopwatch(batches, _TRAINING * seconds, lambda done: bar.update(round(done)))
        engine = engine_of(model, stopwatch, None, _endless(settings), show=False)
        pace = rehearse(engine, stopwatch)
        task, precision = task_of(model, batches, settings), Precision(settings.training, model.device)
        saves, validates, draws, measures = (
            sum(map(due, range(1, steps + 1)))
            for due in (timetable.saves, timetable.validates, timetable.draws, timetable.measures)
        )
        share = _SAMPLING * seconds / max(1, (draws > 0) + (measures > 0))
        samples, sheet = _sheet(task, share) if draws else (0.0, 0)
        measured = 0.0
        if measures and isinstance(model, Model):
            measured = _walk_seconds(_measured_plan(model, settings.evaluation), share)
        validated = _validation_seconds(task, validation, precision, processes)
        saved, size = _checkpoint(model)
        held = peak_memory(model.device)
        with precision.matrices():
            peak = peak_flops(model.device, getattr(torch, settings.training.dtype), _PEAK * seconds)
    flop = flop_per_image(task, batches, settings.training.seed)
    images_per_second = settings.training.batch_size / pace.step_seconds
    found = Forecast(
        source=source,
        device=model.device.type,
        parameters=model.parameters,
        steps=steps,
        images=steps * settings.training.batch_size,
        images_per_second=images_per_second,
        data_wait=pace.data_wait,
        flop_per_image=flop,
        flops=flop * images_per_second,
        peak_flops=max(peak, flop * images_per_second),  # what is done is possible, whatever disturbed the measurement
        memory=held,
        memory_there=memory_of(model.device),
        start_seconds=pace.start_seconds,
        encoding_seconds=encoding,
        train_seconds=steps * pace.step_seconds,
        samples_seconds=draws * samples,
        measurements_seconds=measures * measured,
        validation_seconds=validates * validated,
        checkpoints_seconds=saves * saved,
        # A new checkpoint is whole before an old one is removed.
        disk=(min(settings.training.keep + 1, saves) + (validation is not None)) * size
        + draws * sheet
        + encoded
        + steps // settings.training.log_every * _LINE,
        disk_free=shutil.disk_usage(Path.cwd()).free,
    )
    return found.model_copy(update={"advice": tuple(advice(found, settings))})


def flop_per_image(task: Task, batches: Batches, seed: int) -> float:
    """Returns the floating-point operations of a training step, an image: those of matrices and convolutions."""
    images = 2
    device = device_of(task.network)
    draws = Draws(seed, 0, images, slice(0, images))
    task.network.train()
    # The fused kernel of attention on CPUs is none that the counter knows, and would count as nothing.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        torch.autograd.backward(task.losses(batches(draws, device), draws).mean())
    task.network.zero_grad(set_to_none=True)
    return float(counter.get_total_flops()) / images


def peak_flops(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Returns the most operations a second that products of square matrices reach, the larger the longer there is time.

    Each is computed as a product and as a convolution of 1×1, since on some CPUs these are different libraries of which
    the first leaves the better half of the instructions unused.

    Args:
        device: Where.
        dtype: In which numbers.
        seconds: How long to try, about.
    """
    best, started = 0.0, time.perf_counter()
    for side in _SIDES:
        one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        pixels, kernel = one.view(1, side, 16, -1), other[..., None, None]
        products = (partial(torch.mm, one, other), partial(torch.conv2d, pixels, kernel))
        for product in 4 * products:
            synchronize(device)
            before = time.perf_counter()
            product()
            synchronize(device)
            took = time.perf_counter() - before
            best = max(best, 2 * side**3 / took)
            if time.perf_counter() - started > seconds:
                return best
    return best


def _endless(settings: config.Config) -> config.Config:
    """Returns the settings with no end in sight, so that a pace can be found before it."""
    return config.changed(settings, {"training.images": _ENDLESS, "training.tracker": None})


def _measured_plan(model: Model, how: Evaluation) -> Plan:
    """Returns how the samples are drawn that are measured while training; to measure them costs little beside it."""
    walk = {name: getattr(how, name) for name in ("sampler", "steps", "guidance")}
    return sampling.plan(model, n=how.every_n, settings=sampling.settings(model.sampling, **walk))


def _walk_seconds(plan: Plan, seconds: float) -> float:
    """Returns how long samples take to draw, from as many steps of their walk as there is time for."""
    chunks = plan.chunks()
    done, took, started = 0, 0.0, time.perf_counter()
    with evaluating(*modules_in(plan.denoiser)):
        for _ in plan.walk(chunks[0]):
            synchronize(plan.device)
            done, took = done + 1, time.perf_counter() - started
            if took > seconds:
                break
    return took / done * plan.steps * len(chunks)


def _validation_seconds(task: Task, validation: Validation | None, precision: Precision, processes: Processes) -> float:
    """Returns how long a held-out loss takes, from a part of it."""
    if validation is None:
        return 0.0
    part = validation.beginning()
    started = time.perf_counter()
    part.measure(task, task.network, processes, precision)
    return (time.perf_counter() - started) / len(part) * len(validation)


def _checkpoint(model: Learner) -> tuple[float, int]:
    """Returns how long a checkpoint takes, and its bytes: the weights, their average and two moments of each."""
    here = Path.cwd()  # where runs are written: the place of temporary files may be memory
    with tempfile.TemporaryDirectory(dir=here if os.access(here, os.W_OK) else None) as place:
        started = time.perf_counter()
        packed = pack(model.network.state_dict())
        atomic_write(Path(place) / "weights", packed)
        took = time.perf_counter() - started
    return 4 * took, 4 * len(packed)


def _sheet(task: Task, seconds: float) -> tuple[float, int]:
    """Returns how long a grid of samples takes, and its bytes as they are before they are compressed."""
    if isinstance(task, Denoising):
        plan = task.preview_plan(task.network)
        return _walk_seconds(plan, seconds), plan.n * math.prod(plan.shape)
    started = time.perf_counter()
    picture = task.preview(task.network)
    return time.perf_counter() - started, 0 if picture is None else picture.numel()
