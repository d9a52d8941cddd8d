"""The digits preset against EDM's own recipe on the same network: the same steps, the same judge, one run.

Both are judged as `kakusan evaluate` does, with the sampler that suits them: samples of half the data's size against
random halves of it, beside the noise floor of real images.

    python benchmarks/digits_recipes.py --steps 600
"""

import argparse
import json
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

import kakusan
from kakusan.data import load
from kakusan.evaluation.evaluate import evaluate, reference
from kakusan.sampling import settings

RESULTS = Path(__file__).parent / "results" / "digits_recipes.json"
SAMPLERS = {"digits": [("ddim", 50), ("ddim", 10), ("heun", 10)], "digits-edm": [("heun", 18), ("heun", 10)]}


def main() -> None:
    """Trains both recipes, judges every sampler, prints the ratio of their best distances and stores all."""
    parser = argparse.ArgumentParser(description="Our digits recipe against EDM's, on the same network.")
    parser.add_argument("--steps", type=int, default=None, help="steps of training for both; the preset's by default")
    steps = parser.parse_args().steps
    digits = load("digits")
    real = reference(digits, n=None, splits=10)
    floor = sum(real.noise_floor) / len(real.noise_floor)

    rows = []
    for preset, samplers in SAMPLERS.items():
        with tempfile.TemporaryDirectory() as directory:
            started = time.perf_counter()
            quiet = {"training.samples_every": 0}
            run = kakusan.train(preset, run=Path(directory) / "run", steps=steps, overrides=quiet)
            seconds = time.perf_counter() - started
            model = kakusan.load(run)
        for sampler, count in samplers:
            how = settings(model.sampling, sampler=sampler, steps=count)
            judged = evaluate(model, real, settings=how, name="digits")
            row = {
                "recipe": preset,
                "sampler": sampler,
                "steps": count,
                "nfe": judged.protocol["nfe"],
                "train_seconds": round(seconds, 1),
                "frechet_distance": round(judged.frechet_distance, 3),
                "over_floor": round(judged.frechet_distance / floor, 3),
                "class_accuracy": round(judged.class_accuracy or 0, 4),
            }
            rows.append(row)
            print(row)

    best = {name: min(row["frechet_distance"] for row in rows if row["recipe"] == name) for name in SAMPLERS}
    ratio = round(best["digits-edm"] / best["digits"], 2)
    print(f"EDM's distance is {ratio} times ours (noise floor {floor:.3f})")
    protocol = {
        "date": date.today().isoformat(),
        "command": "python benchmarks/digits_recipes.py" + (f" --steps {steps}" if steps else ""),
        "threads": torch.get_num_threads(),
        "torch": version("torch"),
        "n": real.n,
        "noise_floor": round(floor, 3),
        "features": real.judge.name,
        "classifier_accuracy": round(real.judge.accuracy, 4),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"protocol": protocol, "ratio": ratio, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
