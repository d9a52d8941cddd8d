"""Which recipe learns CIFAR-10 best in a few minutes on this machine: where the preset cifar10-small has its from.

Its width is what five minutes favour, ``base``. An hour has room for more, but ``wide`` reaches in an hour what
``base`` reaches in less than half of one (results/cifar10_width.json).

Every recipe trains for the same time, as its pace was measured before; what counts is the loss on images held out,
which all of them measure alike: the same images, noise and levels, v under the cosine schedule.

    python benchmarks/cifar10_recipes.py --data ~/data/cifar10/train --minutes 4
    python benchmarks/cifar10_recipes.py --data ~/data/cifar10/train --minutes 4 --only base narrow
"""

import argparse
import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import kakusan
from kakusan import config
from kakusan.devices import machine
from kakusan.runs import Run
from kakusan.studies.forecast import forecast

RESULTS = Path(__file__).parent / "results" / "cifar10_recipes.json"
BASE: dict[str, Any] = {
    "data": {"flip": True, "held_out": 500},
    "network": {
        "kind": "unet",
        "channels": [32, 64, 128],
        "blocks": 1,
        "attention_resolutions": [8],
        "dropout": 0.0,
        "scale_shift": True,
        "class_conditional": True,
    },
    "schedule": "cosine",
    "parametrization": "v",
    "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.0, "warmup_images": 2_000},
    "ema": {"half_life": 10_000},
    "training": {
        "batch_size": 16,
        "channels_last": True,
        "samples_every": 0,
        "checkpoint_every": 10_000_000,
        "log_every": 100,
    },
}
KEYS = ("machine", "minutes", "recipe")
RECIPES: dict[str, dict[str, Any]] = {
    "base": {},
    "narrow": {"network.channels": [24, 48, 96]},
    "narrower": {"network.channels": [16, 32, 64]},
    "wide": {"network.channels": [48, 96, 192]},
    "deep": {"network.blocks": 2},
    "four levels": {"network.channels": [32, 64, 128, 128]},
    "no attention": {"network.attention_resolutions": [], "network.middle_attention": False},
    "wide, deep": {"network.channels": [48, 96, 192], "network.blocks": 2},
    "batch 8": {"training.batch_size": 8},
    "batch 32": {"training.batch_size": 32},
    "batch 64": {"training.batch_size": 64},
    "narrow, batch 32": {"network.channels": [24, 48, 96], "training.batch_size": 32},
    "narrower, batch 32": {"network.channels": [16, 32, 64], "training.batch_size": 32},
    "batch 32, rate 2e-3": {"training.batch_size": 32, "optimizer.learning_rate": 2e-3},
    "rate 5e-4": {"optimizer.learning_rate": 5e-4},
    "rate 2e-3": {"optimizer.learning_rate": 2e-3},
    "rate 4e-3": {"optimizer.learning_rate": 4e-3},
}


def measure(name: str, source: str, minutes: float) -> dict[str, Any]:
    """Trains one recipe for so many minutes and returns what it reached."""
    settings = config.from_mapping({**BASE, "data": {**BASE["data"], "source": source}}, RECIPES[name])
    pace = forecast(settings, name, seconds=10, show=False).images_per_second
    length = {"training.images": round(60 * minutes * pace)}
    with tempfile.TemporaryDirectory() as place:
        run: Run = kakusan.train(
            config.from_mapping(settings.model_dump(), length), run=Path(place) / "run", show=False
        )
        held_out = next(line for line in reversed(run.metrics()) if "held_out_loss" in line)
        parameters = kakusan.load(run).parameters
    row = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "recipe": name,
        "minutes": minutes,
        "parameters": parameters,
        "images": held_out["images"],
        "held_out_loss": round(held_out["held_out_loss"], 5),
        "held_out_levels": [round(loss, 4) for loss in held_out["held_out_levels"]],
    }
    print(f"{name:14} {parameters:>10,} parameters {row['images']:>8,} images: {row['held_out_loss']:.4f}", flush=True)
    return row


def main() -> None:
    """Measures the recipes, prints and stores each, beside what was stored before."""
    parser = argparse.ArgumentParser(description="Recipes for CIFAR-10 on this machine, for a few minutes each.")
    parser.add_argument("--data", required=True, help="where the images are")
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    given = parser.parse_args()
    protocol = {
        "command": "python benchmarks/cifar10_recipes.py --data IMAGES --minutes MINUTES",
        "held_out_loss": "of v under the cosine schedule, the same images, noise and levels for all",
    }
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    for name in given.only:
        new = measure(name, given.data, given.minutes)
        rows = [row for row in rows if [row[key] for key in KEYS] != [new[key] for key in KEYS]]
        rows = sorted([*rows, new], key=lambda row: (row["machine"], row["minutes"], row["held_out_loss"]))
        RESULTS.write_text(json.dumps({"protocol": protocol, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
