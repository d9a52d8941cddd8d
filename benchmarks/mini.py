"""What the model that ships obeys: the rows of its study, and what it draws without noise on the way.

    kakusan study mini --run runs/mini-study
    python benchmarks/mini.py runs/mini-study

The study trains all parts if they are not there yet, and goes on where it was stopped. It draws with noise on the way;
the same prompts are drawn without here, at the guidance that the study chose.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import kakusan
from kakusan import sampling
from kakusan.devices import machine
from kakusan.evaluation.prompts import CELLS, measure_prompts
from kakusan.runs import Run
from kakusan.studies.experiments.mini import row_of
from kakusan.studies.workshop import train_seconds

RESULTS = Path(__file__).parent / "results" / "mini.json"
PARTS = ("autoencoder", "clip", "denoiser")
FOUND = ("ceiling", "retrieval", "sweep", "drawn", "plainly", "led")


def told(trial: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of the study, rounded; of a piece its value alone."""
    row: dict[str, Any] = {"name": trial["name"], "n": trial["protocol"].get("n")}
    for name, it in trial["values"].items():
        value = round(it["value"], 4)
        interval = it["interval"] and [round(end, 4) for end in it["interval"]]
        row[name] = value if interval is None else {"value": value, "interval": interval}
    return {name: it for name, it in row.items() if it is not None}


def without_noise(study: Path, guidance: float, n: int) -> list[dict[str, Any]]:
    """Returns what of the prompts of every kind is obeyed where no noise comes on the way."""
    model = kakusan.load(Run(study / "runs" / "denoiser"))
    how = sampling.settings(model.sampling, guidance=guidance, eta=0.0)
    found = measure_prompts(model, how, n=n, seed=1, kinds=tuple(range(len(CELLS))))
    return [told(row_of(it).model_dump()) for it in found]


def main() -> None:
    """Reads, measures and stores the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("study", type=Path, help="the directory of kakusan study mini")
    given = parser.parse_args()
    found = {it: json.loads((given.study / "found" / f"{it}.json").read_text())["trials"] for it in FOUND}
    drawn = found["drawn"][0]["protocol"]
    guidance, n = drawn["guidance"], drawn["n"]
    row = {
        "date": date.today().isoformat(),
        "command": "kakusan study mini; python benchmarks/mini.py",
        "machine": machine(),
        "guidance": guidance,
        "seconds": {it: round(train_seconds(Run(given.study / "runs" / it)).value) for it in PARTS},
        **{it: list(map(told, trials)) for it, trials in found.items()},
        "drawn with eta 0": without_noise(given.study, guidance, n),
    }
    RESULTS.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
