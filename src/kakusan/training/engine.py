"""The engine: one loop that trains any task, on any number of devices, and can be stopped and resumed anywhere.

batch → losses → mean → gradient → clip → AdamW → running average → books. Its clock is images seen.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from kakusan import pictures, seeds
from kakusan.config import models as config
from kakusan.data.batches import Batches
from kakusan.devices import resolve
from kakusan.errors import KakusanError
from kakusan.progress import Bar
from kakusan.runs import Run
from kakusan.training import checkpoints
from kakusan.training.average import Average
from kakusan.training.interrupt import stop_on_interrupt
from kakusan.training.ledger import Ledger, first_non_finite
from kakusan.training.optimization import adamw, learning_rate
from kakusan.training.task import Task


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        network: The averaged weights, in evaluation mode.
        images: Images seen.
        seconds: Time spent in this call.
        interrupted: Whether Ctrl-C ended it early.
    """

    network: nn.Module
    images: int
    seconds: float
    interrupted: bool


class Engine:
    """Trains a task.

    Args:
        task: What is learned.
        batches: What it is learned from.
        optimizer, ema, training: Those sections of the configuration.
        facts: What checkpoints shall say of the model beside its weights, as JSON.
        show: Whether to show progress.
        title: What the progress is called.

    Raises:
        KakusanError: The device is not there, or the batch cannot be shared evenly among the processes.

    Attributes:
        step: Steps taken.
        total_steps: Steps at the end.
    """

    def __init__(
        self,
        task: Task,
        batches: Batches,
        *,
        optimizer: config.Optimizer,
        ema: config.EMA,
        training: config.Training,
        facts: dict[str, Any] | None = None,
        show: bool = True,
        title: str = "training",
    ) -> None:
        self._task, self._batches, self._facts = task, batches, facts or {}
        self._run: Run | None = None
        self._optimizer_settings, self._training = optimizer, training
        self._show, self._title = show, title
        self._accelerator = _accelerator(training)
        processes = self._accelerator.num_processes
        if training.batch_size % processes:
            raise KakusanError(
                f"training.batch_size must divide evenly among {processes} processes, "
                f"which {training.batch_size} does not"
            )
        self.total_steps = length(training, batches.epoch)
        self.step = 0

        self._network = task.network.to(self._accelerator.device).train()
        self._average = Average(self._network, ema.half_life, ema.ramp_up)
        self._optimizer = adamw(task, optimizer)
        self._ledger = Ledger(training.batch_size, batches.epoch)

    @property
    def keeps_books(self) -> bool:
        """Whether this is the one process that writes."""
        return bool(self._accelerator.is_main_process)

    @property
    def images(self) -> int:
        """Images seen."""
        return self.step * self._training.batch_size

    @property
    def total_images(self) -> int:
        """Images seen at the end."""
        return self.total_steps * self._training.batch_size

    def resume(self, run: Run) -> None:
        """Goes to where a run's last checkpoint stands.

        Raises:
            KakusanError: There is none, or it is damaged or of another architecture.
        """
        checkpoint = run.checkpoint()
        state = checkpoints.restore(
            checkpoint, network=self._network, average=self._average.network, optimizer=self._optimizer
        )
        self.step = state["step"]
        self._ledger.epoch_sum, self._ledger.epoch_steps = state["epoch_sum"], state["epoch_steps"]
        if self.keeps_books:
            run.forget_after(self.step)

    def train(self, run: Run | None = None) -> Outcome:
        """Trains to the end, or to Ctrl-C, and saves a checkpoint there.

        Args:
            run: Where the books and checkpoints go; None keeps none.

        Raises:
            KakusanError: The loss became NaN or infinite, or the disk refuses a checkpoint.
        """
        started = time.perf_counter()
        self._run = run
        live = torch.compile(self._network) if self._training.compile else self._network
        self._task.network, optimizer = self._accelerator.prepare(live, self._optimizer)
        try:
            self._loop(optimizer)
        finally:
            self._task.network = self._network.eval()
        self._accelerator.wait_for_everyone()
        seconds, interrupted = time.perf_counter() - started, self.step < self.total_steps
        return Outcome(self._average.network, self.images, seconds, interrupted)

    def _loop(self, optimizer: Any) -> None:
        with (
            torch.random.fork_rng(),
            stop_on_interrupt() as stop,
            Bar(self._title, self.total_steps, self.step, show=self._show and self.keeps_books) as bar,
        ):
            stopping = False
            while self.step < self.total_steps and not stopping:
                gradient_norm = self._advance(optimizer)
                stopping = self._agreed(stop.is_set())
                self._keep_books(gradient_norm, bar, stopping)

    def _agreed(self, stop: bool) -> bool:
        """Whether any process is to stop: one that went on alone would wait for the others for ever."""
        if self._accelerator.num_processes == 1:
            return stop
        votes: Tensor = self._accelerator.reduce(torch.tensor(float(stop), device=self._accelerator.device))
        return votes.item() > 0

    def _advance(self, optimizer: Any) -> Tensor:
        """Takes one step of the optimizer and returns the gradient's norm, without waiting for the device."""
        draws = self._draws()
        # Dropout is the one draw made on the device; its seed makes it the step's own.
        torch.manual_seed(seeds.derive(self._training.seed, f"dropout {self._accelerator.process_index}", self.step))
        before = time.perf_counter()
        batch = self._batches(draws, self._accelerator.device)
        self._ledger.data_seconds += time.perf_counter() - before

        # Not by the accelerator, which would patch the network, perhaps a user's own, with what all engines share.
        with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=self._training.dtype == "bfloat16"):
            loss = self._task.losses(batch, draws).mean()
        self._accelerator.backward(loss)
        limit = self._optimizer_settings.clip_norm
        norm: Tensor = self._accelerator.clip_grad_norm_(
            list(self._network.parameters()), math.inf if limit is None else limit
        )
        for group in optimizer.param_groups:
            group["lr"] = self._learning_rate()
        optimizer.step()
        optimizer.zero_grad()

        self.step += 1
        self._average.update(self._network, self._training.batch_size, self.images)
        self._ledger.add(loss)
        return norm

    def _draws(self) -> seeds.Draws:
        share = self._training.batch_size // self._accelerator.num_processes
        first = share * self._accelerator.process_index
        return seeds.Draws(self._training.seed, self.step, self._training.batch_size, slice(first, first + share))

    def _learning_rate(self) -> float:
        batch_size = self._training.batch_size
        # Counted from 1 and to one more than there are, so that neither the first step nor the last is taken at 0.
        return learning_rate(self._optimizer_settings, self.images + batch_size, (self.total_steps + 1) * batch_size)

    def _keep_books(self, gradient_norm: Tensor, bar: Bar, stopping: bool) -> None:
        last = stopping or self.step == self.total_steps
        saving = last or self._crossed(self._training.checkpoint_every)
        if last or saving or self.step % self._training.log_every == 0:
            line = self._record(gradient_norm)
            bar.update(self.step, f"loss {line['loss']:.4f}  {line['images_per_second']:.0f} images/s")
        else:
            bar.update(self.step)
        if self._run is None or not self.keeps_books:
            return
        if saving:
            self._save()
        if self._training.samples_every and (self._crossed(self._training.samples_every) or last):
            self._draw_samples()

    def _crossed(self, every: int) -> bool:
        """Whether the last step crossed a multiple of ``every`` images."""
        return self.images // every > (self.images - self._training.batch_size) // every

    def _record(self, gradient_norm: Tensor) -> dict[str, Any]:
        losses: list[float] = self._accelerator.reduce(self._ledger.take(), "mean").tolist()
        norm = gradient_norm.item()
        bad = first_non_finite(losses)
        if bad is not None:
            raise KakusanError(self._non_finite("loss", losses[bad], self.step - len(losses) + bad + 1))
        if not math.isfinite(norm):  # the weights are spoilt already, which the next loss would tell too late
            raise KakusanError(self._non_finite("gradient", norm, self.step))
        lines = self._ledger.lines(losses, self.step, lr=self._optimizer.param_groups[0]["lr"], grad_norm=norm)
        if self._run is not None and self.keeps_books:
            for line in lines:
                self._run.record(line)
        return lines[-1]

    def _non_finite(self, what: str, value: float, step: int) -> str:
        there = self._run.checkpoints() if self._run is not None else []
        good = f"the last good checkpoint is {there[-1].path}" if there else "no checkpoint was saved before"
        return (
            f"the {what} became {value} at step {step} of {self.total_steps}; {good} (try a lower "
            "optimizer.learning_rate, a longer optimizer.warmup_images, or training.dtype float32)"
        )

    def _save(self) -> None:
        assert self._run is not None
        state = {
            "step": self.step,
            "images": self.images,
            "total_images": self.total_images,
            "epoch_sum": self._ledger.epoch_sum,
            "epoch_steps": self._ledger.epoch_steps,
            **self._facts,
        }
        checkpoints.save(
            self._run,
            network=self._network,
            average=self._average.network,
            optimizer=self._optimizer,
            state=state,
            keep=self._training.keep,
        )

    def _draw_samples(self) -> None:
        assert self._run is not None
        picture = self._task.preview(self._average.network)
        if picture is not None:
            sheet = pictures.legible(picture, self._batches.shape[-1])
            pictures.save(self._run.samples_path / f"{self.images:07d}.png", sheet)


def length(training: config.Training, epoch_images: int) -> int:
    """Returns how many steps a training takes whose length may be given in steps, images or epochs."""
    if training.steps is not None:
        return training.steps
    images = training.images if training.images is not None else (training.epochs or 0) * epoch_images
    return math.ceil(images / training.batch_size)


def _accelerator(training: config.Training) -> Accelerator:
    device = resolve(training.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    # All accelerators of a process share one state, which refuses another device: a notebook may train twice. So it is
    # made anew and kept as a copy, for the next engine may come between two steps of this one: to train a judge, say.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
    accelerator.state.__dict__ = dict(accelerator.state.__dict__)
    return accelerator
