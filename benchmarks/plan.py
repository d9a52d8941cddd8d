"""What ``kakusan plan`` says beside what then happens: time of a whole training, its pace, its memory, its disk.

Plan and training are processes of their own, one after the other, as a person would start them. A ratio
is what happened over what was said: 1 is a true prophet. Disk is said at its peak, while one checkpoint takes the place
of another, and found at the end, when there is one less.

    python benchmarks/plan.py
    python benchmarks/plan.py --case cifar10 --data ~/data/cifar10/train
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from kakusan.devices import machine
from kakusan.runs import Run

RESULTS = Path(__file__).parent / "results" / "plan.json"
AIM = 0.15
CASES = {  # the arguments of both commands
    "digits": ["digits"],
    "digits, held out": ["digits", "--data.held_out=200", "--training.steps=400", "--training.samples_every=10000"],
    "cifar10": [
        *("cifar10-conditional", "--network.channels=64,128,128", "--network.attention_resolutions=8"),
        *("--training.batch_size=64", "--training.steps=150", "--sampling.sampler=ddim"),
        *("--sampling.variance=posterior", "--sampling.steps=20"),
    ],
}


def run(command: list[str]) -> tuple[str, int]:
    """Returns what a command printed, and the most memory that it held, in bytes."""
    process = subprocess.Popen([sys.executable, "-m", "kakusan", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return printed, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def compare(case: str, arguments: list[str]) -> dict[str, object]:
    """Plans a training, trains, and returns both sides."""
    told = json.loads(run(["plan", *arguments, "--json"])[0])
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "run"
        _, memory = run(["train", *arguments, "--run", str(path)])
        seconds = float(re.findall(r"finished after .*, ([\d.]+) s", (path / "log.txt").read_text())[-1])
        lines = [line for line in Run(path).metrics() if "images_per_second" in line]
        disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    pace = sorted(line["images_per_second"] for line in lines)[len(lines) // 2]
    happened = {"seconds": seconds, "images_per_second": pace, "memory": memory, "disk": disk}
    ratios = {name: round(value / told[name], 3) for name, value in happened.items()}
    print(f"{case:18}", "   ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
    return {"case": case, "told": told, "happened": happened, "ratios": ratios}


def main() -> None:
    """Compares the cases, prints ratios, and stores all of it."""
    parser = argparse.ArgumentParser(description="What is planned beside what happens.")
    parser.add_argument("--case", choices=CASES, nargs="*", default=["digits", "digits, held out"])
    parser.add_argument("--data", help="images for the case cifar10")
    given = parser.parse_args()
    rows = []
    for case in given.case:
        data = [f"--data.source={given.data}"] if case == "cifar10" and given.data else []
        rows.append(compare(case, [*CASES[case], *data]))
    kept = all(abs(row["ratios"]["seconds"] - 1) <= AIM for row in rows)
    print(f"time within {AIM:.0%}: {'kept' if kept else 'BROKEN'}")
    command = f"python benchmarks/plan.py --case {' '.join(map(repr, given.case))}"
    found = {"date": date.today().isoformat(), "command": command, "machine": machine(), "rows": rows}
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
