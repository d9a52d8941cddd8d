"""The engine: one loop that trains any task, on any number of devices, and can be stopped and resumed anywhere.

batch → losses → mean → gradient → clip → guard → AdamW → running average → books. Its clock is images seen.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kakusan import pictures, seeds
from kakusan.config import models as config
from kakusan.data.batches import Batches
from kakusan.devices import is_out_of_memory, resolve, seed_device
from kakusan.errors import KakusanError
from kakusan.progress import Bar, say
from kakusan.runs import Checkpoint, Run
from kakusan.training import checkpoints, optimization, tracker
from kakusan.training.average import Average
from kakusan.training.examination import MEASURED, Examination, UnfinishedError, until
from kakusan.training.gradient import gradient
from kakusan.training.guard import Guard
from kakusan.training.interrupt import stop_on_interrupt
from kakusan.training.ledger import Ledger
from kakusan.training.precision import Precision
from kakusan.training.processes import Processes
from kakusan.training.recomputing import recomputing
from kakusan.training.task import Task
from kakusan.training.timetable import Timetable
from kakusan.training.validation import Validation


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        network: The averaged weights, in evaluation mode.
        images: Images seen.
        seconds: Time spent in this call.
        interrupted: Whether Ctrl-C or a polite kill ended it early.
        terminate: Whether it was the end of the process that somebody wished for.
    """

    network: nn.Module
    images: int
    seconds: float
    interrupted: bool
    terminate: bool = False


class Engine:
    """Trains a task.

    Args:
        task: What is learned.
        batches: What it is learned from.
        optimizer, ema, training, guard: Those sections of the configuration.
        validation: What the running average is judged on, if anything.
        examination: What measures samples now and then, if anything.
        facts: What checkpoints shall say of the model beside its weights, as JSON.
        processes: Who trains together, and where; by default this process alone, whatever started it.
        show: Whether to show progress.
        title: What the progress is called.

    Raises:
        KakusanError: The device is not there, the batch cannot be shared evenly among the processes, or a tracker is
            not installed.

    Attributes:
        step: Steps taken.
    """

    def __init__(
        self,
        task: Task,
        batches: Batches,
        *,
        optimizer: config.Optimizer,
        ema: config.EMA,
        training: config.Training,
        guard: config.Guard | None = None,
        validation: Validation | None = None,
        examination: Examination | None = None,
        facts: dict[str, Any] | None = None,
        processes: Processes | None = None,
        show: bool = True,
        title: str = "training",
    ) -> None:
        self._task, self._batches, self._validation, self._facts = task, batches, validation, facts or {}
        self._run: Run | None = None
        self._track: Callable[[Mapping[str, Any]], None] = lambda line: None
        self._examination = examination
        self._optimizer_settings, self._training = optimizer, training
        self._show, self._title = show, title
        tracker.require(training.tracker)
        self._processes = processes or Processes(resolve(training.device))
        self._share = self._processes.share(training.batch_size)
        self._timetable = Timetable.of(training, batches.epoch, 0 if examination is None else examination.every)
        self.step = self._began = 0

        self._network = task.network.to(self._processes.device).train()
        if training.channels_last:
            self._network.to(memory_format=torch.channels_last)
        self._buffers = list(self._network.buffers())
        self._average = Average(self._network, ema.half_life, ema.ramp_up)
        self._optimizer = optimization.adamw(task, optimizer)
        self._precision = Precision(training, self._processes.device)
        self._guard = Guard(guard or config.Guard(), self._processes.device)
        self._ledger = Ledger(training.batch_size, batches.epoch)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self._processes.device

    @property
    def keeps_books(self) -> bool:
        """Whether this is the one process that writes."""
        return self._processes.first

    @property
    def total_steps(self) -> int:
        """Steps at the end."""
        return self._timetable.steps

    @property
    def images(self) -> int:
        """Images seen."""
        return self.step * self._training.batch_size

    @property
    def total_images(self) -> int:
        """Images seen at the end."""
        return self.total_steps * self._training.batch_size

    def resume(self, run: Run) -> None:
        """Goes to where a run's last checkpoint stands; where it has none yet, to the start.

        Raises:
            KakusanError: It is damaged, of another architecture, or of a later version.
        """
        if run.checkpoints():
            state = checkpoints.restore(
                run.checkpoint(), network=self._network, average=self._average.network, optimizer=self._optimizer
            )
            self.step = state["step"]
            self._ledger.restore(state)
            if "guard" in state:  # format 1 stopped at the first step that was no number
                self._guard.restore(state["guard"])
                self._precision.restore(state["scale"])
        if self.keeps_books:
            run.sweep()
            run.forget_after(self.step)

    def catch_up(self, run: Run) -> None:
        """Draws and measures what belongs to the step where training stands, where that was not done.

        It comes after the checkpoint of its moment, so whoever was killed in between lacks it.
        """
        if not self.keeps_books:
            return
        self._run = run
        if self._timetable.draws(self.step) and not self._samples_path(run).exists():
            self._draw_samples(run, threading.Event())
        if self._timetable.measures(self.step) and not any(map(self._is_measured, run.metrics())):
            self._measure_samples(run, threading.Event())

    def train(self, run: Run | None = None) -> Outcome:
        """Trains to the end, or to Ctrl-C, and saves a checkpoint there.

        Args:
            run: Where the books and checkpoints go; None keeps none.

        Raises:
            KakusanError: The loss became NaN or infinite again and again, the disk refuses a checkpoint, a batch does
                not fit into memory, or the network has no blocks to compute again.
        """
        started = time.perf_counter()
        self._run, self._began = run, self.step
        self._ledger.restart()
        live: nn.Module = torch.compile(self._network) if self._training.compile else self._network  # type: ignore[assignment]
        self._task.network = self._processes.wrap(live)
        try:
            with (
                self._precision.matrices(),
                recomputing(self._network, self._training.activation_checkpointing),
                tracker.tracking(self._training.tracker, run if self.keeps_books else None, self.step) as self._track,
            ):
                if run is not None:
                    self.catch_up(run)
                terminate = self._loop()
        finally:
            self._task.network = self._network.eval()
        self._processes.wait()
        seconds, interrupted = time.perf_counter() - started, self.step < self.total_steps
        return Outcome(self._average.network, self.images, seconds, interrupted, terminate)

    def _loop(self) -> bool:
        """Takes the steps that are left, or those until somebody wishes for an end: returns whether of the process."""
        device = self._processes.device
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            stop_on_interrupt() as stop,
            Bar(self._title, self.total_steps, self.step, show=self._show and self.keeps_books) as bar,
        ):
            stopping = False
            while self.step < self.total_steps and not stopping:
                norm = self._advance()
                stopping = self._processes.any(stop.is_set())
                if self._guard.troubled(self.step, self.total_steps - self._began, self.step == self.total_steps):
                    self._go_back()
                else:
                    self._keep_books(norm, bar, stopping, stop)
                # These may have been ended, and are made up for from here.
                if not stopping and (self._timetable.draws(self.step) or self._timetable.measures(self.step)):
                    stopping = self._processes.any(stop.is_set())
                    if stopping and not self._timetable.saves(self.step):
                        self._save_late(norm)
        return stop.terminate

    def _advance(self) -> Tensor:
        """Takes one step of the optimizer and returns the gradient's norm, without waiting for the device."""
        draws = self._draws()
        # Dropout is the one draw made on the device; its seed makes it the step's own.
        seed_device(seeds.derive(self._training.seed, f"dropout {self._processes.index}", self.step), self.device)
        before = time.perf_counter()
        batch = self._batches(draws, self._processes.device)
        self._ledger.data_seconds += time.perf_counter() - before

        buffers = [buffer.clone() for buffer in self._buffers]
        first = not self._optimizer.state
        loss = gradient(self._task, batch, draws, self._training.microbatch, self._precision, first)
        norm = self._precision.clip(self._optimizer, self._optimizer_settings.clip_norm)
        loss = self._processes.mean(loss)

        skip = self._guard.judge(loss, norm)
        for buffer, old in zip(self._buffers, buffers, strict=True):
            buffer.copy_(torch.where(skip, old, buffer))  # a bad batch may have spoilt the statistics of a norm
        optimization.step(self._optimizer, self._optimizer_settings, self._learning_rate(), skip)
        self._precision.settle()
        self.step += 1
        self._average.update(self._training.batch_size, self.images, skip)
        self._ledger.add(torch.where(skip, math.nan, loss))
        return norm

    def _draws(self) -> seeds.Draws:
        return seeds.Draws(self._training.seed, self.step, self._training.batch_size, self._share)

    def _learning_rate(self) -> float:
        batch_size = self._training.batch_size
        # Counted from 1 and to one more than there are, so that neither the first step nor the last is taken at 0.
        images, total = self.images + batch_size, (self.total_steps + 1) * batch_size
        return optimization.learning_rate(self._optimizer_settings, images, total) * self._guard.rate

    def _keep_books(self, norm: Tensor, bar: Bar, stopping: bool, stop: threading.Event) -> None:
        saving = stopping or self._timetable.saves(self.step)
        if saving or self.step % self._training.log_every == 0:
            line = self._record(norm)
            loss = f"loss {line['loss']:.4f}" if "loss" in line else "no loss"
            bar.update(self.step, f"{loss}  {line['images_per_second']:.0f} images/s")
        else:
            bar.update(self.step)
        with self._ledger.paused():
            validated = self._validate() if self._timetable.validates(self.step) else {}
            if self._run is None or not self.keeps_books:
                return
            # Who wishes for an end may not wait long for it: nothing slow comes before what must not be lost.
            if saving:
                self._save(validated)
            if self._timetable.draws(self.step):
                self._draw_samples(self._run, stop)
            if self._timetable.measures(self.step):
                self._measure_samples(self._run, stop)

    def _save_late(self, norm: Tensor) -> None:
        """Saves where a step has ended without, and the end of training was wished for while samples were drawn."""
        if self.step % self._training.log_every:
            self._record(norm)
        if self._run is not None and self.keeps_books:
            self._save({})

    def _record(self, norm: Tensor) -> dict[str, Any]:
        numbers = {"lr": self._optimizer.param_groups[0]["lr"], "grad_norm": norm.item()}
        troubles = {"skipped": self._guard.skipped, "rollbacks": self._guard.rollbacks}
        numbers |= {name: count for name, count in troubles.items() if count}
        if not math.isfinite(numbers["grad_norm"]):  # which JSON has no word for
            del numbers["grad_norm"]
        lines = self._ledger.lines(self._ledger.take().tolist(), self.step, **numbers)
        for line in lines:
            self._write(line)
        return lines[-1]

    def _write(self, line: dict[str, Any]) -> None:
        if self._run is not None and self.keeps_books:
            self._run.record(line)
            self._track(line)

    def _validate(self) -> dict[str, Any]:
        """Records the held-out loss of the average and returns what the checkpoint shall say of it."""
        if self._validation is None:
            return {}
        measured = self._validation.measure(self._task, self._average.network, self._processes, self._precision)
        loss = measured["held_out_loss"]
        if not math.isfinite(loss):  # which JSON has no word for
            if self._run is not None and self.keeps_books:
                self._tell(self._run, f"no held-out loss after {self.images:,} images: it is {loss}")
            return {}
        self._write({"step": self.step, "images": self.images, **measured})
        return {"held_out_loss": loss}

    def _go_back(self) -> None:
        """Returns to the last checkpoint that is known to be good, or stops where there is none.

        Raises:
            KakusanError: There is none, or training went back too often already.
        """
        streak = self._guard.streak
        began = self.step - streak
        good = self._good(began) if self._guard.may_go_back else None
        if self._run is None or good is None:
            raise KakusanError(self._hopeless(began))
        self._processes.wait()  # every process has found the same one: now others may vanish
        if self.keeps_books:
            checkpoints.return_to(self._run, good, {"guard": self._guard.after_rollback()})
        self._processes.wait()
        trouble = f"{self._guard.trouble()} and {streak} steps were skipped from step {began + 1} on"
        self.resume(self._run)
        self._ledger.restart()
        if self.keeps_books:
            rate = f"{self._guard.rate:g} times the learning rate"
            self._tell(self._run, f"{trouble}: back to {good.images:,} images, at {rate}")

    def _good(self, began: int) -> Checkpoint | None:
        """Returns the last checkpoint from which at least one good step was taken, before those that fail from a step
        on; where only one is kept, that one, which may be as good."""
        if self._run is None:
            return None
        return checkpoints.last_at(self._run, began - 1) or checkpoints.last_at(self._run, began)

    def _hopeless(self, began: int) -> str:
        there = checkpoints.last_at(self._run, began) if self._run is not None else None
        last = f"the last good checkpoint is {there.path}" if there is not None else "no checkpoint was saved before"
        back = f" after going back {self._guard.rollbacks} times" if self._guard.rollbacks else ""
        return (
            f"{self._guard.trouble()} at step {began + 1} of {self.total_steps}{back}; {last} (start another run"
            f"{', from these weights by network.init or anew,' if there is not None else ''} with a lower "
            "optimizer.learning_rate, a longer optimizer.warmup_images, or training.dtype float32)"
        )

    def _save(self, validated: dict[str, Any]) -> None:
        assert self._run is not None
        state = {
            **checkpoints.written_by(),
            "step": self.step,
            "images": self.images,
            "total_images": self.total_images,
            **self._ledger.state(),
            "guard": self._guard.state(),
            "scale": self._precision.state(),
            **validated,
            **self._facts,
        }
        checkpoints.save(
            self._run,
            network=self._network,
            average=self._average.network,
            optimizer=self._optimizer,
            state=state,
            # While steps fail training may yet go back, to a checkpoint from before they did.
            keep=self._training.keep if not self._guard.streak else sys.maxsize,
        )

    def _tell(self, run: Run, line: str) -> None:
        run.log(line)
        if self._show:
            say(line)

    def _samples_path(self, run: Run) -> Path:
        return run.samples_path / f"{self.images:07d}.png"

    def _draw_samples(self, run: Run, stop: threading.Event) -> None:
        """Draws a grid, or says why there is none; who wishes for an end does not wait for it."""
        with self._going_on(run, "samples"), suppress(UnfinishedError):
            picture = self._task.preview(self._average.network, until(stop))
            if picture is not None:
                pictures.save(self._samples_path(run), picture)

    def _measure_samples(self, run: Run, stop: threading.Event) -> None:
        """Measures samples of the average, or says why not; who wishes for an end does not wait for it."""
        if self._examination is None or self._examination.examine is None:
            return
        with self._going_on(run, "measurement"), suppress(UnfinishedError):
            found = self._examination.examine(self._average.network, self.images, until(stop))
            self._write({"step": self.step, "images": self.images, **found})

    def _is_measured(self, line: dict[str, Any]) -> bool:
        return line.get("images") == self.images and not MEASURED.isdisjoint(line)

    @contextmanager
    def _going_on(self, run: Run, what: str) -> Iterator[None]:
        """Says what was in the way of something beside training: no reason to stop that."""
        try:
            yield
        except (KakusanError, RuntimeError) as error:
            if not isinstance(error, KakusanError) and not is_out_of_memory(error):
                raise
            self._tell(run, f"no {what} after {self.images:,} images: {error}")
