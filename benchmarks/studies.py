"""What every study finds with its small budget, and how long that takes on this machine.

    python benchmarks/studies.py
    python benchmarks/studies.py --only schedules metrics
    python benchmarks/studies.py --only latent --preset cifar10-small --set training.images=30000 data.latent=runs/small

A study that was stopped goes on, and one that is done costs nothing; the time is that of all its parts.
"""

import argparse
import json
from datetime import date
from pathlib import Path

from kakusan.config.names import STUDIES
from kakusan.devices import machine
from kakusan.reporting.experiment import spoken
from kakusan.reporting.language import language
from kakusan.studies.conduct import conduct

RESULTS = Path(__file__).parent / "results" / "studies.json"


def main() -> None:
    """Does the studies, prints what they found, and stores it beside what was stored before."""
    parser = argparse.ArgumentParser(description="Every study with its small budget.")
    parser.add_argument("--only", nargs="*", choices=list(STUDIES), default=list(STUDIES), help="which")
    parser.add_argument("--preset", default="digits", help="on what")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of it to change")
    given = parser.parse_args()
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in given.only:
        found, place = conduct(name, preset=given.preset, overrides=dict(it.split("=", 1) for it in given.set))
        say = language("en")
        more = [] if given.preset == "digits" else ["--preset", given.preset]
        more += ["--set", *given.set] if given.set else []
        stored["-".join([name, *more[1:2]])] = record = {
            "date": date.today().isoformat(),
            "command": " ".join(["python benchmarks/studies.py --only", name, *more]),
            "machine": machine(),
            "seconds": round(found.seconds),
            "finding": [spoken(say, sentence).replace("\N{NO-BREAK SPACE}", " ") for sentence in found.finding],
            "parts": found.as_dict()["parts"],
        }
        for part in record["parts"].values():
            for trial in part:  # the protocol of each stands in the pages
                trial["protocol"] = {
                    key: trial["protocol"][key] for key in ("n", "features") if key in trial["protocol"]
                }
        RESULTS.write_text(json.dumps(stored, indent=2) + "\n")
        print(f"{name}: {found.seconds:.0f} s, {place / 'report.html'}")
        for sentence in record["finding"]:
            print(f"  {sentence}.")


if __name__ == "__main__":
    main()
