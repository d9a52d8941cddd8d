"""Seconds for 16 pictures of the model that ships, in 20 guided steps: our sampler beside diffusers' pipeline.

They take turns; the median of the rounds counts. How long `kakusan generate` takes besides is the time to start, which
is told as well: of a whole process that draws the same.

    python benchmarks/mini_speed.py
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import kakusan
from kakusan import stable_diffusion
from kakusan.api.exchange import import_
from kakusan.devices import machine

RESULTS = Path(__file__).parent / "results" / "mini_speed.json"
PROMPT, N, STEPS, ROUNDS = "a small green triangle above a red star", 16, 20, 5


def main() -> None:
    """Measures and stores the rows."""
    spent: dict[str, list[float]] = {"kakusan": [], "diffusers": []}
    with tempfile.TemporaryDirectory() as place:
        model = kakusan.load(import_("mini", Path(place) / "run"), device="cpu")
        pipeline = stable_diffusion.opened("mini", "cpu")
        ways = {
            "kakusan": lambda: kakusan.sample(model, n=N, prompt=PROMPT, steps=STEPS),
            "diffusers": lambda: kakusan.generate(PROMPT, model=pipeline, n=N, steps=STEPS, show=False),
        }
        for turn in range(ROUNDS + 1):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                if turn:
                    spent[name].append(time.perf_counter() - started)
        started = time.perf_counter()
        how = ["-n", str(N), "--steps", str(STEPS), "-o", str(Path(place) / "out"), "--device", "cpu"]
        subprocess.run([sys.executable, "-m", "kakusan", "generate", PROMPT, *how], check=True, capture_output=True)
        whole = time.perf_counter() - started
    seconds = {name: round(statistics.median(each), 2) for name, each in spent.items()}
    ratio = round(seconds["diffusers"] / seconds["kakusan"], 2)
    print(f"{N} pictures in {STEPS} steps: {seconds}, {ratio} times as fast; a whole process {whole:.1f} s")
    told = {"date": date.today().isoformat(), "command": "python benchmarks/mini_speed.py", "machine": machine()}
    found = {**told, "n": N, "steps": STEPS, "seconds": seconds, "ratio": ratio, "process_seconds": round(whole, 1)}
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
