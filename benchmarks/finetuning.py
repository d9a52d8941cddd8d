"""What mini learns from 16 pictures of a thing that it does not know, and what it forgets: LoRA, DreamBooth, new words.

The thing is a red spiral of five arms. A small classifier, trained on spirals, on mini's own scenes, on both once they
went through mini's autoencoder, and on what mini draws when it is asked for a spiral before it knows any, says how many
pictures of the new thing are ones; the verifier of scenes says how many of the old prompts are still obeyed. A style,
things as bare outlines, has a verifier of its own: how much of a thing's inside is of the background's colour.

    python benchmarks/finetuning.py --runs runs/finetuning
    python benchmarks/finetuning.py --only lora textual-inversion --n 200
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from scipy.ndimage import binary_erosion, binary_fill_holes
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import kakusan
from kakusan import pictures, stable_diffusion
from kakusan.data.images import ImageSet
from kakusan.devices import machine
from kakusan.evaluation.prompts import CELLS, asked_for
from kakusan.proportions import interval
from kakusan.runs import Run
from kakusan.shapes import draw, verify
from kakusan.shapes.scenes import BACKGROUNDS, COLOURS, Scene
from kakusan.stable_diffusion import Extras, Request, TextToImage

RESULTS = Path(__file__).parent / "results" / "finetuning.json"
SIZE, IMAGES, ARMS, FINE = 32, 16, 5, 8
NEW = [f"a red spiral on a {background} background" for background in BACKGROUNDS]
OLD = (0, 2)  # numbers of the kinds of scenes whose prompts must not be forgotten


def spiral(lot: Random, background: str) -> Tensor:
    """Returns a picture of a red spiral of five arms, uint8, shape (3, 32, 32)."""
    x, y, turn = (0.5 + lot.uniform(-0.1, 0.1), 0.5 + lot.uniform(-0.1, 0.1), lot.uniform(0, 2 * math.pi))
    radius = lot.choice((0.3, 0.36))
    places = (np.arange(SIZE * FINE) + 0.5) / (SIZE * FINE)
    right, down = places[None, :] - x, places[:, None] - y
    out, angle = np.hypot(right, down) / radius, np.arctan2(down, right) - turn
    phase = (angle - 1.6 * out) * ARMS / (2 * math.pi)
    aside = np.abs(phase - np.round(phase)) * 2 * math.pi / ARMS * out
    inside = ((aside < 0.17) | (out < 0.2)) & (out < 1)
    return _painted(inside.reshape(SIZE, FINE, SIZE, FINE).mean((1, 3)), "red", background)


def _painted(cover: np.ndarray, colour: str, background: str) -> Tensor:
    behind, before = (np.array(it, float)[:, None, None] for it in (BACKGROUNDS[background], COLOURS[colour]))
    return torch.from_numpy((behind + cover * (before - behind)).round().astype(np.uint8))


def spirals(seed: int, count: int) -> tuple[Tensor, tuple[str, ...]]:
    """Returns pictures of spirals and their captions, before every background in turn."""
    lot, names = Random(seed), list(BACKGROUNDS)
    where = [names[number % len(names)] for number in range(count)]
    return torch.stack([spiral(lot, it) for it in where]), tuple(NEW[names.index(it)] for it in where)


def drawn(base: TextToImage, prompts: Sequence[str], n: int, seed: int) -> Tensor:
    """Returns pictures of prompts in turn, uint8, shape (n, 3, 32, 32)."""
    request = Request(tuple(prompts), n=n, steps=20, seed=seed, batch=64)
    with torch.no_grad():
        return pictures.to_uint8(stable_diffusion.generated(stable_diffusion.asked(base, request)))


def reconstructed(base: TextToImage, images: Tensor) -> Tensor:
    """Returns what the autoencoder leaves of pictures."""
    vae = base.pipe.vae
    with torch.no_grad():
        parts = [vae(pictures.from_uint8(part)).sample for part in torch.split(images, 64)]
    return pictures.to_uint8(torch.cat(parts))


class Judge:
    """Says whether a picture shows a spiral: a small convolutional classifier.

    Attributes:
        accuracy: On pictures that it did not learn from.
    """

    def __init__(self, base: TextToImage, each: int = 1000) -> None:
        real, _ = spirals(1, each)
        scenes = torch.stack([draw(it, SIZE) for number in OLD for it in asked_for(number, each // 2, seed=9)[0]])
        unknowing = drawn(base, NEW, each // 3, seed=9)
        yes, no = (
            torch.cat([real, reconstructed(base, real)]),
            torch.cat([scenes, reconstructed(base, scenes), unknowing]),
        )
        images, labels = torch.cat([yes, no]), torch.cat([torch.ones(len(yes)), torch.zeros(len(no))])
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        images, labels = pictures.from_uint8(images[order]), labels[order]
        kept = len(images) // 5
        torch.manual_seed(0)
        self._network = nn.Sequential(
            *(nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(48, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, 1)),
        )
        optimizer = torch.optim.AdamW(self._network.parameters(), 2e-3)
        for _ in range(4):
            for part in torch.split(torch.randperm(len(images) - kept) + kept, 64):
                noisy = images[part] + 0.1 * torch.randn_like(images[part])
                loss = binary_cross_entropy_with_logits(self._network(noisy)[:, 0], labels[part])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.accuracy = float((self._logits(images[:kept]).gt(0) == labels[:kept].bool()).float().mean())

    @torch.no_grad()
    def _logits(self, images: Tensor) -> Tensor:
        return torch.cat([self._network(part)[:, 0] for part in torch.split(images, 256)])

    def accepts(self, images: Tensor) -> Tensor:
        """Returns which of some pictures, uint8, show a spiral: bool, shape (n,)."""
        return self._logits(pictures.from_uint8(images)) > 0


def share(count: int, n: int) -> dict[str, Any]:
    """Returns a share with its interval of 95 %."""
    low, high = interval(count / n, n)
    return {"value": round(count / n, 4), "interval": [round(low, 4), round(high, 4)], "n": n}


def obeyed(base: TextToImage, n: int) -> dict[str, Any]:
    """Returns how many of the old prompts are obeyed, of every kind."""
    found = {}
    for number in OLD:
        _, captions = asked_for(number, n, seed=1)
        images = drawn(base, captions, n, seed=1)
        count = sum(verify(image, caption).accepted for image, caption in zip(images, captions, strict=True))
        found["-".join(map(str, CELLS[number]))] = share(count, n)
    return found


def outlined(seed: int, count: int) -> tuple[Tensor, tuple[str, ...]]:
    """Returns scenes of one large thing as bare outlines, and their captions with a word for the style."""
    scenes, captions = large(seed, count)
    images = []
    for scene in scenes:
        picture = draw(scene, SIZE).float()
        behind = torch.tensor(BACKGROUNDS[scene.background]).float()[:, None, None]
        cover = (picture - behind).abs().sum(0) / (picture - behind).abs().sum(0).max().clamp(min=1)
        # What has two pixels of it on all sides is inside.
        inner = -torch.nn.functional.max_pool2d(-cover[None, None], 5, 1, 2)[0, 0]
        images.append((picture + inner * (behind - picture)).round().to(torch.uint8))
    return torch.stack(images), tuple(f"outline of {it}" for it in captions)


def large(seed: int, count: int) -> tuple[list[Scene], list[str]]:
    """Returns scenes of one thing whose inside is large enough to be seen as hollow, and their captions."""
    found = [
        (scene, caption)
        for scene, caption in zip(*asked_for(0, 20 * count, seed=seed), strict=True)
        if scene.things[0].size == "large" and scene.things[0].shape in ROOMY
    ]
    scenes, captions = zip(*found[:count], strict=True)
    return list(scenes), list(captions)


def is_outline(image: Tensor, caption: str) -> bool:
    """Whether a picture shows what a caption asks for as a bare outline: a good part of it is hollow, and once that is
    painted over, the verifier of scenes accepts it."""
    pixels = image.float()
    behind = pixels[:, (0, 0, -1, -1), (0, -1, 0, -1)].median(1).values[:, None, None]
    apart = (pixels - behind).abs().sum(0)
    solid = (apart > HOLLOW).numpy()
    whole = binary_fill_holes(solid)
    if not solid.any() or (whole & ~solid).sum() < LEAST * whole.sum():
        return False
    line = apart >= apart[torch.from_numpy(solid)].median()
    filled = pixels.clone()
    filled[:, torch.from_numpy(binary_erosion(whole))] = pixels[:, line].median(1).values[:, None]
    return verify(filled.round().to(torch.uint8), caption).accepted


def kinds(count: int) -> tuple[str, ...]:
    """Returns prompts of old scenes, none of which is asked for when what was forgotten is measured."""
    return tuple(dict.fromkeys(it for number in OLD for it in asked_for(number, count, seed=77)[1]))


def learned(way: str, run: Path, given: argparse.Namespace) -> tuple[Run, float]:
    """Trains, and returns the run and how long that took; a run that is there already is taken as it is."""
    preset, concept, settings = WAYS[way]
    images, captions = outlined(5, IMAGES) if concept == "style" else spirals(0, IMAGES)
    if preset == "textual-inversion":
        captions = tuple(it.replace("red spiral", TOKEN) for it in captions)
    took = run / "seconds.txt"
    if not took.exists():
        data, started = ImageSet(images, captions=captions, name=concept), time.monotonic()
        kakusan.train(preset, data=data, run=run, overrides={**COMMON, **settings}, overwrite=True, show=given.show)
        took.write_text(f"{time.monotonic() - started:.0f}")
    return Run(run), float(took.read_text())


def wearing(way: str, run: Path) -> TextToImage:
    """Returns mini with what a run has written for everybody."""
    preset, *_ = WAYS[way]
    if preset == "dreambooth":
        return stable_diffusion.opened(str(run))
    extras = Extras(embeddings=[str(run)]) if preset == "textual-inversion" else Extras(loras=[(str(run), 1.0)])
    return stable_diffusion.fitted(stable_diffusion.opened("mini"), extras)


def measured(model: TextToImage, judge: Judge, n: int, spiral_prompts: Sequence[str] = NEW) -> dict[str, Any]:
    """Returns what a pipeline draws of what is new, and of what is old."""
    _, captions = large(3, n)
    styled = drawn(model, [f"outline of {it}" for it in captions], n, seed=3)
    hollow = sum(is_outline(image, caption) for image, caption in zip(styled, captions, strict=True))
    spiral = int(judge.accepts(drawn(model, spiral_prompts, n, seed=3)).sum())
    return {"spirals": share(spiral, n), "outlines": share(hollow, n), "old": obeyed(model, n)}


ROOMY = ("circle", "square")
TOKEN = "<spiral>"
HOLLOW, LEAST = 90, 0.1  # how far a pixel is from the background, in steps of colour; share of the inside
COMMON = {
    "training.batch_size": 16,
    "training.samples_every": 0,
    "training.checkpoint_every": 100_000,
    "ema.half_life": 1_000,
}
KEPT = {"objective.class_prompts": kinds(256), "objective.prior_images": 512, "objective.prior_weight": 2.0}
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "time_emb_proj")
LORA = {
    "network.rank": 8,
    "network.layers": LAYERS,
    "optimizer.learning_rate": 5e-4,
    "training.steps": 450,
}
WHOLE = {"optimizer.learning_rate": 7e-5, "training.steps": 350}
WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lora": ("lora", "spiral", LORA | KEPT),
    "lora, nothing kept": ("lora", "spiral", LORA),
    "dreambooth": ("dreambooth", "spiral", WHOLE | KEPT),
    "dreambooth, nothing kept": ("dreambooth", "spiral", WHOLE),
    "textual-inversion": (
        "textual-inversion",
        "spiral",
        {
            "network.token": TOKEN,
            "network.vectors": 12,
            "optimizer.learning_rate": 5e-2,
            "training.steps": 1000,
        },
    ),
    "style": ("lora", "style", LORA | KEPT | {"optimizer.learning_rate": 1e-3, "training.steps": 1500}),
}
"""By name the preset, what is learned, and how."""


def main() -> None:
    """Trains, measures and stores the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=Path, default=Path("runs/finetuning"))
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--only", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--show", action="store_true", help="show progress")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    mini = stable_diffusion.opened("mini")
    judge = Judge(mini)
    found: dict[str, Any] = {
        "date": f"{date.today():%Y-%m-%d}",
        "command": f"python benchmarks/finetuning.py --n {given.n}",
        "machine": machine(),
        "judge": {"accuracy": round(judge.accuracy, 4), "what": "of pictures that it did not learn from"},
        "mini": measured(mini, judge, given.n),
    }
    runs = {}
    for way in given.only:
        run, seconds = learned(way, given.runs / way.replace(", ", "-").replace(" ", "-"), given)
        runs[way] = run.path
        prompts = [it.replace("red spiral", TOKEN) for it in NEW] if way == "textual-inversion" else NEW
        found[way] = {"seconds": seconds, **measured(wearing(way, run.path), judge, given.n, prompts)}
        print(way, json.dumps(found[way], ensure_ascii=False), flush=True)
        write(found, given.out)
    if {"lora", "style"} <= runs.keys():
        extras = Extras(loras=[(str(runs[way]), 1.0) for way in ("lora", "style")])
        both = stable_diffusion.fitted(stable_diffusion.opened("mini"), extras)
        found["lora + style"] = measured(both, judge, given.n)
        print("lora + style", json.dumps(found["lora + style"], ensure_ascii=False), flush=True)
        write(found, given.out)
    if "textual-inversion" in runs:
        _, captions = asked_for(OLD[0], 64, seed=1)
        after = drawn(wearing("textual-inversion", runs["textual-inversion"]), captions, 64, 1)
        found["textual-inversion"]["old pictures unchanged"] = torch.equal(drawn(mini, captions, 64, 1), after)
        write(found, given.out)


def write(found: dict[str, Any], path: Path) -> None:
    """Stores what was found."""
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
