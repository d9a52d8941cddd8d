"""The demo from end to end: what it takes, how good it is, and that it keeps what it promises on two CPU cores.

    python benchmarks/demo.py

Give it a machine that has nothing else to do. The run stays in runs/demo.
"""

import json
import shutil
import time
from datetime import date
from pathlib import Path

from platformdirs import user_cache_path

from kakusan.studies.demo import PLACE, demo

RESULTS = Path(__file__).parent / "results" / "demo.json"
PROMISES = {
    "wall_seconds": lambda found: found["wall_seconds"] <= 180,
    "train_seconds": lambda found: found["train_seconds"] <= 90,
    "class_accuracy": lambda found: found["class_accuracy"] >= 0.97,
    "over_floor": lambda found: found["over_floor"] <= 1.25,
}


def main() -> None:
    """Runs the demo as on a fresh machine, its judge untrained, prints what it promises and stores what it measured."""
    shutil.rmtree(user_cache_path("kakusan") / "judges", ignore_errors=True)
    started = time.perf_counter()
    metrics = demo(PLACE, lang="en")
    found = {
        "date": date.today().isoformat(),
        "command": "python benchmarks/demo.py",
        "wall_seconds": round(time.perf_counter() - started, 1),
        "over_floor": round(metrics["frechet_distance"] / metrics["noise_floor"], 3),
        **metrics,
    }
    for name, kept in PROMISES.items():
        print(f"{name:16} {found[name]:.4g}   {'kept' if kept(found) else 'BROKEN'}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
