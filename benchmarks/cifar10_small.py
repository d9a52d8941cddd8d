"""CIFAR-10 by class in an hour on two CPU cores: the preset cifar10-small, whole, with its samples, curve and numbers.

Its judge is a classifier of the images that it is compared with, which have not been learned from; its numbers are no
FIDs. A run that is there is judged as it is, not trained again. The time told is that at the median pace of the
training, whatever disturbed or interrupted it.

    python benchmarks/cifar10_small.py --data ~/data/cifar10/train --against ~/data/cifar10/test
"""

import argparse
import json
import shutil
import statistics
from datetime import date
from pathlib import Path

from matplotlib.figure import Figure

import kakusan
from kakusan import config, pictures
from kakusan.data import load
from kakusan.devices import machine
from kakusan.runs import Run
from kakusan.studies.workshop import train_seconds

RESULTS = Path(__file__).parent / "results" / "cifar10_small"
ROWS = 8
GUIDANCE = (1.0, 1.5, 2.0)


def curve(run: Run, path: Path) -> None:
    """Draws the losses of a run: of the steps, smoothed over ten lines, and of the images held out."""
    lines = run.metrics()
    told = [(line["images"], line["loss"]) for line in lines if "loss" in line]
    held = [(line["images"], line["held_out_loss"]) for line in lines if "held_out_loss" in line]
    axes = Figure(figsize=(7.2, 3.0), dpi=100, layout="constrained").subplots()
    smooth = [statistics.mean(loss for _, loss in told[max(0, i - 9) : i + 1]) for i in range(len(told))]
    axes.plot([seen for seen, _ in told], smooth, color="0.6", label="of the steps, mean of ten lines")
    axes.plot(*zip(*held, strict=True), "o-", color="C0", label="of 250 images held out, by the running average")
    axes.set(xlabel="images seen", ylabel="loss", ylim=(0.1, 0.2))
    axes.legend(frameon=False)
    axes.figure.savefig(path)


def by_the_clock(run: Run) -> float:
    """Returns how long the steps of a run took, whatever disturbed them, in seconds; its time at the usual pace is what
    it takes alone."""
    lines = [line for line in run.metrics() if "images_per_second" in line]
    seen = [0, *(line["images"] for line in lines)]
    return sum(
        (now - before) / line["images_per_second"] for before, now, line in zip(seen, seen[1:], lines, strict=False)
    )


def main() -> None:
    """Trains, draws, judges, and stores what came of it."""
    parser = argparse.ArgumentParser(description="The preset cifar10-small from end to end.")
    parser.add_argument("--data", required=True, help="images to learn from")
    parser.add_argument("--against", required=True, help="images to compare with, not learned from")
    parser.add_argument("--run", type=Path, default=Path("runs/cifar10-small"), help="where the run goes")
    parser.add_argument("-n", type=int, default=1000, help="images on each side")
    given = parser.parse_args()
    if not given.run.exists():
        kakusan.train("cifar10-small", data=given.data, run=given.run)
    run = Run.open(given.run)

    model = kakusan.load(run)
    RESULTS.mkdir(parents=True, exist_ok=True)
    images = kakusan.sample(model, n=ROWS * len(model.class_names), labels=list(range(len(model.class_names))) * ROWS)
    pictures.save(RESULTS / "samples.png", pictures.legible(pictures.grid(images, len(model.class_names)), 32))
    shutil.copy(run.metrics_path, RESULTS / "metrics.jsonl")
    curve(run, RESULTS / "curve.png")

    rows, real = [], load(given.against)
    for scale in GUIDANCE:
        judged = kakusan.evaluate(model, against=real, n=given.n, guidance_scale=scale)
        rows.append(judged.model_dump(exclude={"remarks"}))
        print(
            f"guidance {scale:g}: distance {judged.frechet_distance:.2f} (real images {judged.noise_floor:.2f}), "
            f"class accuracy {judged.class_accuracy or 0:.1%} (real images {judged.classifier_accuracy:.1%})"
        )
    found = {
        "date": date.today().isoformat(),
        "command": f"python benchmarks/cifar10_small.py --data IMAGES --against OTHERS -n {given.n}",
        "machine": machine(),
        "images": model.images,
        "learning_rate": config.load(run.config_path).optimizer.learning_rate,
        "seconds": round(train_seconds(run).value),
        "clock_seconds": round(by_the_clock(run)),
        "images_per_second": statistics.median(line["images_per_second"] for line in run.metrics() if "loss" in line),
        "parameters": model.parameters,
        "evaluations": rows,
    }
    (RESULTS / "result.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
