"""A few pictures of what mini does not know yet, and settings by which it learns them in no time."""

from pathlib import Path

import torch

from kakusan import config, pictures


def diamonds(directory: Path, count: int = 3) -> Path:
    """Writes pictures of 32×32 pixels of a rhombus, each in another place, and returns where."""
    directory.mkdir(parents=True, exist_ok=True)
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    for number in range(count):
        inside = (rows - 14 - number).abs() + (columns - 17 + number).abs() < 8
        pictures.save(directory / f"{number}.png", torch.where(inside, 0.5, -1.0).expand(3, -1, -1), {})
    return directory


def settings(preset: str, source: Path, **changes: object) -> config.Config:
    """Returns the settings of a preset for a training of two steps of three images."""
    told = () if preset == "textual-inversion" else ("a red rhombus",)
    return config.load(
        preset,
        {
            "data.source": str(source),
            "objective.instance_prompts": told,
            "objective.shown_steps": 2,
            "training.steps": 2,
            "training.batch_size": 3,
            "training.samples_every": 0,
            "training.device": "cpu",
            **{name.replace("__", "."): value for name, value in changes.items()},
        },
    )
