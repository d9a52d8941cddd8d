"""How captions are worded, and where the text encoder comes from: the same denoiser of scenes, trained as long.

Who stands where follows, in evenly worded captions, from nothing but which thing is named first *and* which relation is
named, an exclusive or. Captions that lean name the upper or the left thing first more often, and a third of them say
where in the picture each stands, so that single words tell something too. A text encoder learns with the denoiser, from
nothing or from a CLIP, or stays that of the CLIP. What is drawn is judged by the verifier: prompts are evenly worded.

    python benchmarks/captions.py --autoencoder runs/shapes-autoencoder --clip runs/shapes-clip --runs runs/captions
    python benchmarks/captions.py … --only leaning even --images 100000
"""

import argparse
import json
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import torch

import kakusan
from kakusan import sampling
from kakusan.data.images import ImageSet
from kakusan.data.sources import shapes
from kakusan.devices import machine
from kakusan.evaluation.prompts import measure_prompts
from kakusan.results.quantities import PIECES
from kakusan.runs import Run
from kakusan.seeds import derive
from kakusan.shapes import caption, draw, scene
from kakusan.studies.workshop import train_seconds

RESULTS = Path(__file__).parent / "results" / "captions.json"
KINDS = (0, 2)  # one thing, two things, as they were learned from
WAYS: dict[str, dict[str, Any]] = {
    "leaning": {"text.init": None},
    "even": {"captions": "even", "text.init": None},
    "from a CLIP": {},
    "a CLIP's, frozen": {"text.frozen": True},
}


def scenes(leaning: bool) -> ImageSet:
    """Returns the scenes of the source, with captions that lean or are even."""
    all_of_them = [scene(0, index) for index in range(shapes.COUNT)]
    lots = [Random(derive(0, "captions", index)) for index in range(shapes.COUNT)]
    captions = [caption(it, own, leaning=leaning) for it, own in zip(all_of_them, lots, strict=True)]
    name = f"shapes, {'leaning' if leaning else 'even'}"
    return ImageSet(torch.stack([draw(it, 32) for it in all_of_them]), captions=tuple(captions), name=name)


def trained(given: argparse.Namespace, name: str) -> Run:
    """Returns the run of a way; one that was stopped goes on."""
    way = dict(WAYS[name])
    images = scenes(way.pop("captions", "leaning") == "leaning")
    place = given.runs / name.replace(" ", "-").replace(",", "").replace("'", "")
    if Run.is_at(place):
        return kakusan.train(resume=place, data=images, images=given.images)
    changes = {"data.latent": str(given.autoencoder), "training.images": given.images, "training.samples_every": 0}
    changes["text.init"] = str(given.clip)
    return kakusan.train("shapes-text", data=images, run=place, overrides={**changes, **way})


def measured(run: Run, n: int) -> dict[str, Any]:
    """Returns what the verifier accepts of what a run draws, in pieces."""
    model = kakusan.load(run)
    rows = {}
    for found in measure_prompts(model, sampling.settings(model.sampling), n=n, kinds=KINDS):
        pieces = {name: found.protocol[name] for name in PIECES if name in found.protocol}
        interval = [round(end, 4) for end in found.interval or ()]
        rows[found.metric] = {"value": round(found.value, 4), "interval": interval, **pieces}
    told = {"date": date.today().isoformat(), "machine": machine(), "n": n, "images": model.images}
    return {**told, "train_seconds": round(train_seconds(run).value), **rows}


def main() -> None:
    """Trains, measures and stores the rows."""
    parser = argparse.ArgumentParser(description="How captions are worded, and where the text encoder comes from.")
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/captions"))
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--only", nargs="*", choices=list(WAYS), default=list(WAYS))
    given = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"ways": {}}
    for name in given.only:
        found["ways"][name] = measured(trained(given, name), given.n)
        print(name, json.dumps(found["ways"][name]), flush=True)
        found["ways"][name]["command"] = f"python benchmarks/captions.py --images {given.images} --n {given.n}"
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
