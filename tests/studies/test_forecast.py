"""A forecast is arithmetic on what was measured, and what was measured is what training does."""

import itertools

import pytest
import torch
from torch import nn

from kakusan import config
from kakusan.condition import Condition
from kakusan.data.batches import ImageBatches
from kakusan.objective import TimeSampling
from kakusan.results import Forecast
from kakusan.studies import forecast as planning
from kakusan.studies.advice import advice
from kakusan.studies.forecast import flop_per_image, peak_flops
from kakusan.training.tasks.denoising import Denoising
from kakusan.training.timetable import Timetable
from tests import tiny

SMALL = {
    "network.channels": "8",
    "training.batch_size": 8,
    "training.steps": 40,
    "training.device": "cpu",
    "schedule.steps": 20,
    "sampling.steps": 4,
}


@pytest.mark.parametrize(
    ("checkpoints", "samples", "validations"), [*itertools.product((7, 24, 1000), (0, 16, 30), (0, 9))]
)
def test_the_moments_are_those_of_a_training(tmp_path, monkeypatch, checkpoints, samples, validations):
    """Of one that notes after which steps it saves, draws and judges; five images a step."""
    there, seen = tiny.run(tmp_path / "run"), {"checkpoints": set(), "samples": set(), "validations": set()}
    engine = tiny.engine(
        steps=11,
        checkpoint_every=checkpoints,
        samples_every=samples,
        validate_every=validations,
        log_every=3,
        held_out=2,
    )
    monkeypatch.setattr(engine, "_save", lambda validated: seen["checkpoints"].add(engine.step))
    monkeypatch.setattr(engine, "_draw_samples", lambda run, stop: seen["samples"].add(engine.step))
    monkeypatch.setattr(engine, "_validate", lambda: seen["validations"].add(engine.step) or {})
    engine.train(there)
    timetable = Timetable(engine._training, 11)
    told = {"checkpoints": timetable.saves, "samples": timetable.draws, "validations": timetable.validates}
    assert {name: set(filter(due, range(12))) for name, due in told.items()} == seen


class Mixing(nn.Module):
    """Two products of matrices an image: C×D, then D×C, of 16 pixels."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 7, 1), nn.SiLU(), nn.Conv2d(7, 1, 1))

    def forward(self, x, clock, condition: Condition | None = None):
        return self.layers(x)


def test_the_work_of_an_image_is_that_of_its_matrices():
    """Forward 2·16·7 for either layer; backward as much for the weights of both and for the input of the second."""
    task = Denoising(tiny.model(Mixing()), TimeSampling(), 0.1, tiny.SAMPLING)
    assert flop_per_image(task, ImageBatches(tiny.pictures()), seed=0) == 5 * 2 * 16 * 7
    assert all(weight.grad is None for weight in task.network.parameters())


def test_attention_counts_too():
    """Forward q·kᵀ and its product with v, 2·L²·C each for L pixels; backward twice as much."""

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x, clock, condition: Condition | None = None):
            tokens = self.scale * x.flatten(2).mT[:, None]
            attended = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
            return attended[:, 0].mT.reshape(x.shape)

    task = Denoising(tiny.model(Attending()), TimeSampling(), 0.1, tiny.SAMPLING)
    assert flop_per_image(task, ImageBatches(tiny.pictures()), seed=0) == 3 * 2 * (2 * 16 * 16)


def test_a_peak_is_one_of_a_machine():
    assert 1e7 < peak_flops(torch.device("cpu"), torch.float32, 0.0) < 1e15


def test_a_plan_adds_up_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = planning.forecast(config.load("digits", {**SMALL, "data.held_out": 10}), "digits", seconds=0.3, show=False)
    assert list(tmp_path.iterdir()) == []
    assert (told.steps, told.images, told.device) == (40, 320, "cpu")
    assert told.train_seconds == pytest.approx(told.images / told.images_per_second)
    assert told.flops == pytest.approx(told.flop_per_image * told.images_per_second)
    assert min(told.samples_seconds, told.validation_seconds, told.checkpoints_seconds) > 0
    parts = told.train_seconds + told.samples_seconds + told.validation_seconds + told.checkpoints_seconds
    assert told.seconds == pytest.approx(parts + told.start_seconds)
    assert told.disk >= 4 * 4 * told.parameters
    assert 0 < told.utilisation < 2


def forecast(**changes):
    quiet = {
        **{"source": "digits", "device": "cpu", "parameters": 10, "steps": 100, "images": 800},
        **{"images_per_second": 8.0, "data_wait": 0.0, "flop_per_image": 1.0, "flops": 8.0, "peak_flops": 10.0},
        **{"memory": 5, "memory_there": 10, "start_seconds": 0.0, "train_seconds": 1000.0, "samples_seconds": 0.0},
        **{"validation_seconds": 0.0, "checkpoints_seconds": 0.0, "disk": 1, "disk_free": 10},
    }
    return Forecast.model_validate({**quiet, **changes})


@pytest.mark.parametrize(
    ("changes", "fields", "told"),
    [
        ({}, {}, []),
        ({"disk": 11}, {}, ["more disk than is free"]),
        ({"memory": 9.5 * 2**30, "memory_there": 10 * 2**30}, {}, ["--training.microbatch 4"]),
        ({"memory": 10 * 2**30, "memory_there": 10 * 2**30}, {"training.microbatch": 4}, ["--training.microbatch 2"]),
        (
            {"data_wait": 0.021},
            {"data.source": "a.safetensors"},
            ["steps wait 2% of the time for images: a faster disk"],
        ),
        ({"data_wait": 0.021}, {}, []),
        ({"data_wait": 0.019}, {"data.source": "a.safetensors"}, []),
        (
            {"samples_seconds": 500.0, "checkpoints_seconds": 900.0},
            {},
            ["saving will take 38%", "grids of samples will"],
        ),
        ({"validation_seconds": 100.0}, {}, ["the held-out loss will take 9%"]),
        ({"device": "cuda"}, {}, ["--dtype bfloat16"]),
        ({"device": "cuda", "train_seconds": 1e4}, {"training.dtype": "bfloat16"}, ["--compile"]),
        ({"train_seconds": 1e5}, {}, ["a GPU", "no images are held out"]),
        ({"train_seconds": 1e5}, {"data.held_out": 50}, ["a GPU"]),
    ],
)
def test_what_to_change_first_follows_from_the_numbers(monkeypatch, changes, fields, told):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated=True: not emulated)
    whole = {name: round(value) if name.startswith("memory") else value for name, value in changes.items()}
    sentences = list(advice(forecast(**whole), config.load("digits", {**SMALL, **fields})))
    assert len(sentences) == len(told)
    assert all(part in sentence for part, sentence in zip(told, sentences, strict=True))
