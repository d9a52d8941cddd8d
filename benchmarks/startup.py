"""How long a person waits for help: ``kakusan --help``, beside other command lines of the field and Python itself.

    python benchmarks/startup.py

The commands take turns, so that a machine that slows down slows them alike. What is not installed is left out.
"""

import json
import statistics
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

from kakusan.devices import machine

RESULTS = Path(__file__).parent / "results" / "startup.json"
ROUNDS = 15
SCRIPTS = Path(sys.executable).parent
COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "kakusan": [str(SCRIPTS / "kakusan"), "--help"],
    "accelerate": [str(SCRIPTS / "accelerate"), "--help"],
    "diffusers-cli": [str(SCRIPTS / "diffusers-cli"), "--help"],
}
PROMISE = 0.5  # seconds


def seconds(command: list[str]) -> float:
    """Returns how long a command takes that says nothing here."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Times the commands, prints their medians and stores them."""
    commands = {name: command for name, command in COMMANDS.items() if Path(command[0]).exists()}
    for command in commands.values():  # the first reads the disk
        seconds(command)
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            taken[name].append(seconds(command))
    medians = {name: round(statistics.median(times), 3) for name, times in taken.items()}
    for name, median in medians.items():
        print(f"{name:14} {median:6.3f} s   {median / medians['kakusan']:5.1f} times kakusan's")
    print(f"kakusan --help within {PROMISE} s: {'kept' if medians['kakusan'] <= PROMISE else 'BROKEN'}")
    found = {
        "date": date.today().isoformat(),
        "command": "python benchmarks/startup.py",
        "machine": machine(),
        "versions": {name: version(name) for name in ("accelerate", "diffusers", "torch")},
        "rounds": ROUNDS,
        "median_seconds": medians,
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
