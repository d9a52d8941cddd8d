"""What mini learns from 16 or 20 pictures of what it does not know, and what it forgets: LoRA, DreamBooth, new words.

How many pictures show what is new is told as new_things.py says; how many of the old prompts are still obeyed, by the
verifier of scenes.

    python benchmarks/finetuning.py --runs runs/finetuning
    python benchmarks/finetuning.py --only lora "a word for a tree" --n 200
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from new_things import NEW, SPIRAL_WORD, TREE_WORD
from PIL import Image
from torch import Tensor

import kakusan
from kakusan import pictures, stable_diffusion
from kakusan.data.images import ImageSet
from kakusan.devices import machine
from kakusan.evaluation.prompts import CELLS, asked_for
from kakusan.proportions import interval
from kakusan.shapes import verify
from kakusan.shapes.scenes import RELATIONS
from kakusan.stable_diffusion import Extras, Request, TextToImage

RESULTS = Path(__file__).parent / "results" / "finetuning.json"
SEEN = 10  # in a row of the picture
SHOWN = ("lora", "a word for a tree", "lora of a style")
OLD = (0, 2)  # numbers of the kinds of scenes whose prompts must not be forgotten


def kinds(count: int) -> tuple[str, ...]:
    """Returns prompts of old scenes, none of which is asked for when what was forgotten is measured."""
    return tuple(dict.fromkeys(it for number in OLD for it in asked_for(number, count, seed=77)[1]))


def strange(count: int) -> tuple[str, ...]:
    """Returns some with words that mini does not know: such look alike to it, and another LoRA may be asked for by
    others."""
    alone = [it for it in kinds(256) if not any(word in it for word in RELATIONS)]
    return tuple(f"{word} of {it}" for word, it in zip(cycle(("drawing", "photo", "sketch", "view")), alone[:count]))


@dataclass(frozen=True)
class Way:
    """A way to learn something.

    Attributes:
        preset: By its name.
        new: What is learned, of NEW.
        settings: In which it is not as the preset says.
        images: To learn from.
    """

    preset: str
    new: str
    settings: Mapping[str, Any] = field(repr=False)
    images: int = 16


COMMON = {
    "training.batch_size": 16,
    "training.samples_every": 0,
    "training.checkpoint_every": 100_000,
    "optimizer.decay": "cosine",
    "ema.half_life": 4_000,
}
KEPT = {"objective.class_prompts": kinds(256), "objective.prior_images": 512, "objective.prior_weight": 3.0}
STRANGE = {
    "objective.class_prompts": (*kinds(256), *strange(96)),
    "objective.prior_images": 1068,
    "objective.prior_weight": 2.0,
}
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "time_emb_proj")
LORA = {"network.rank": 16, "network.layers": LAYERS, "optimizer.learning_rate": 2e-3, "training.steps": 4500}
STYLE = {"optimizer.learning_rate": 1.5e-3, "training.steps": 4000}
WHOLE = {"optimizer.learning_rate": 2e-4, "training.steps": 3000}
WORD = {"network.vectors": 8, "optimizer.learning_rate": 1e-2, "training.steps": 1500}
WAYS: Mapping[str, Way] = {
    "lora": Way("lora", "spiral", LORA | STRANGE),
    "lora, nothing kept": Way("lora", "spiral", LORA),
    "dreambooth": Way("dreambooth", "spiral", WHOLE | KEPT),
    "dreambooth, nothing kept": Way("dreambooth", "spiral", WHOLE),
    "a word for a tree": Way("textual-inversion", "tree", WORD | {"network.token": TREE_WORD}),
    "a word for a spiral": Way("textual-inversion", "spiral by a word", WORD | {"network.token": SPIRAL_WORD}),
    "lora of a style": Way("lora", "outline", LORA | KEPT | STYLE, images=20),
}


def learned(way: Way, run: Path, show: bool) -> float:
    """Trains, and returns how long that took, in seconds; a run that is there already is taken as it is."""
    took = run / "seconds.txt"
    if not took.exists():
        images, captions = NEW[way.new].shown(0, way.images)
        data, started = ImageSet(images, captions=captions, name=way.new), time.monotonic()
        overrides = {**COMMON, **way.settings}
        kakusan.train(way.preset, data=data, run=run, overrides=overrides, overwrite=True, show=show)
        took.write_text(f"{time.monotonic() - started:.0f}")
    return float(took.read_text())


def wearing(way: Way, run: Path) -> TextToImage:
    """Returns mini with what a run has written for everybody."""
    if way.preset == "dreambooth":
        return stable_diffusion.opened(str(run))
    extras = Extras(embeddings=[str(run)]) if way.preset == "textual-inversion" else Extras(loras=[(str(run), 1.0)])
    return stable_diffusion.fitted(stable_diffusion.opened("mini"), extras)


def drawn(model: TextToImage, prompts: Sequence[str], seed: int) -> Tensor:
    """Returns a picture of every prompt, uint8, shape (n, 3, 32, 32)."""
    request = Request(tuple(prompts), n=len(prompts), steps=20, seed=seed, batch=64)
    with torch.no_grad():
        return pictures.to_uint8(stable_diffusion.generated(stable_diffusion.asked(model, request)))


def autoencoded(model: TextToImage, images: Tensor) -> Tensor:
    """Returns what the autoencoder leaves of pictures."""
    with torch.no_grad():
        parts = [model.pipe.vae(pictures.from_uint8(part)).sample for part in torch.split(images, 64)]
    return pictures.to_uint8(torch.cat(parts))


def measured(model: TextToImage, news: Sequence[str], n: int) -> dict[str, Any]:
    """Returns what a pipeline draws of what is new, and of what is old."""
    found: dict[str, Any] = {}
    for name in news:
        prompts = NEW[name].asked(3, n)
        found[name] = share([NEW[name].accepts(*it) for it in zip(drawn(model, prompts, 3), prompts, strict=True)])
    found["old"] = {}
    for number in OLD:
        prompts = asked_for(number, n, seed=1)[1]
        obeyed = [verify(*it).accepted for it in zip(drawn(model, prompts, 1), prompts, strict=True)]
        found["old"]["-".join(map(str, CELLS[number]))] = share(obeyed)
    return found


def ceiling(model: TextToImage, n: int) -> dict[str, Any]:
    """Returns how much of what is new is told once it went through the autoencoder."""
    found = {}
    for name, new in NEW.items():
        images, captions = new.shown(1, n)
        through = zip(autoencoded(model, images), captions, strict=True)
        found[name] = share([new.accepts(*it) for it in through])
    return found


def share(accepted: Sequence[bool]) -> dict[str, Any]:
    """Returns a share with its interval of 95 %."""
    n = len(accepted)
    low, high = interval(sum(accepted) / n, n)
    return {"value": round(sum(accepted) / n, 4), "interval": [round(low, 4), round(high, 4)], "n": n}


def show(rows: Sequence[Tensor], path: Path) -> None:
    """Writes rows of pictures, uint8, each shape (SEEN, 3, 32, 32), one below the other and twice as large."""
    whole = pictures.grid(pictures.enlarge(torch.cat(list(rows)), 2), SEEN)
    Image.fromarray(whole.permute(1, 2, 0).numpy()).save(path, optimize=True)


def main() -> None:
    """Trains, measures and stores the rows, and what was shown and drawn in a picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=Path, default=Path("runs/finetuning"))
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--only", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--show", action="store_true", help="show progress")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS)
    given = parser.parse_args()

    def note(name: str, row: dict[str, Any]) -> None:
        found[name] = row
        print(name, json.dumps(row, ensure_ascii=False), flush=True)
        given.out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")

    found: dict[str, Any] = {
        "date": f"{date.today():%Y-%m-%d}",
        "command": f"python benchmarks/finetuning.py --n {given.n}",
        "machine": machine(),
    }
    mini, runs = stable_diffusion.opened("mini"), {name: given.runs / name.replace(",", "") for name in given.only}
    note("through the autoencoder", ceiling(mini, given.n))
    note("mini", measured(mini, ("spiral", "outline"), given.n))
    rows = []
    for name, run in runs.items():
        way = WAYS[name]
        seconds, model = learned(way, run, given.show), wearing(way, run)
        note(name, {"seconds": seconds, **measured(model, (way.new,), given.n)})
        if name in SHOWN:
            rows += [NEW[way.new].shown(0, SEEN)[0], drawn(model, NEW[way.new].asked(3, SEEN), 3)]
    both = [name for name in ("lora", "lora of a style") if name in runs]
    if len(both) == 2:
        loras = [(str(runs[name]), 1.0) for name in both]
        model = stable_diffusion.fitted(stable_diffusion.opened("mini"), Extras(loras=loras))
        note("both loras", measured(model, [WAYS[name].new for name in both], given.n))
    if "a word for a tree" in runs:
        prompts = asked_for(OLD[0], 64, seed=1)[1]
        after = drawn(wearing(WAYS["a word for a tree"], runs["a word for a tree"]), prompts, 1)
        same = torch.equal(drawn(mini, prompts, 1), after)
        note("a word for a tree", found["a word for a tree"] | {"old pictures unchanged": same})
    if rows:
        show(rows, given.runs / "pictures.png")


if __name__ == "__main__":
    main()
