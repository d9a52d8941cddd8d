"""The chapter's project in one page: train, draw with 50 steps of DDIM, show a grid, measure, and draw the curves."""

from __future__ import annotations

import statistics

import torch
from torch import Tensor

from kakusan import api
from kakusan.model import Model
from kakusan.results import Value
from kakusan.runs import Run
from kakusan.studies.workshop import Workshop, train_seconds, trial_of
from kakusan.trials import Experiment, Part, Sentence, Trial

_STEPS = 50
_MOMENTS = 6  # of the training
_ROWS, _COLUMNS = 10, 10


def project(shop: Workshop) -> Experiment:
    """Trains a preset as it is, and tells the whole of it."""
    images = shop.images_of(shop.settings)  # the project is this training, whatever the budget
    run = shop.trained("model", {**shop.moments(_MOMENTS, images), "training.images": images})
    model = shop.load(run)
    along = [_moment(shop, run, checkpoint.images) for checkpoint in shop.checkpoints(run)]
    last = along[-1].values
    values = {"train_seconds": train_seconds(run), **{name: it for name, it in last.items() if name != "images"}}
    told = {
        "images": model.images,
        "parameters": model.parameters,
        "distance": last["distance"].value,
        "real": last["distance"].real,
    }
    first = Sentence("study.project.trained", told)
    second = Sentence("study.project.fell", {"first": along[0].values["loss"].value, "last": last["loss"].value})
    return shop.experiment(
        (first, second),
        Part(
            "drawn",
            first,
            (Trial(name=model.source, values=values, protocol=along[-1].protocol),),
            pictures=_grid(shop, model),
        ),
        Part("along", second, tuple(along), ("loss", "held_out_loss", "distance", "accuracy"), "images"),
    )


def _moment(shop: Workshop, run: Run, images: int) -> Trial:
    """Returns what was reached after so many images: the losses of the books, and what samples are like."""
    judged = shop.judged(f"after-{images}", shop.load(run, images), sampler="ddim", steps=_STEPS)
    lines = [line for line in run.metrics() if line.get("images", 0) <= images]
    losses = [line["loss"] for line in lines if "loss" in line]
    held_out = [line["held_out_loss"] for line in lines if "held_out_loss" in line]
    more = {
        "images": Value(value=images),
        "loss": Value(value=statistics.mean(losses[-max(1, len(losses) // 10) :])),
    }
    if held_out:
        more["held_out_loss"] = Value(value=held_out[-1])
    return trial_of(f"{images:,}", judged, **more)


def _grid(shop: Workshop, model: Model) -> dict[str, Tensor]:
    """Returns rows of samples by name: a class each where the model knows classes."""
    names = model.class_names[:_ROWS] or [""] * 4
    labels = [i for i in range(len(names)) for _ in range(_COLUMNS)] if model.class_names else None
    how = {"sampler": "ddim", "steps": _STEPS, "seed": 0, "show": shop.show}
    images = api.sample(model, n=len(names) * _COLUMNS, labels=labels, **how).cpu()  # type: ignore[arg-type]
    rows = torch.split(images, _COLUMNS)
    return {name or "\N{NO-BREAK SPACE}" * i: row for i, (name, row) in enumerate(zip(names, rows, strict=True))}
