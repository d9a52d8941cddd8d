"""Images a second on their way from the disk into a step, beside torchvision's ``ImageFolder`` and ``DataLoader``.

All deliver shuffled batches of floats in [−1, 1], half of them mirrored, with labels, of the same files: ours from a
folder, a zip and a prepared cache, torchvision's with as many workers as there are cores. Told apart are the first
epoch, with all that it takes to begin, and a later one: ours decodes once and keeps bytes, torchvision's decodes in
every epoch. They take turns, so that whatever slows the machine slows all; the median of five rounds counts.

    python benchmarks/loader.py FOLDER --images 2000 --size 32

Without a folder, pictures of noise are made.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from kakusan.data import load, prepare
from kakusan.data.batches import ImageBatches
from kakusan.data.listing import images_in
from kakusan.data.trees import Folder
from kakusan.seeds import Draws

RESULTS = Path(__file__).parent / "results" / "loader.json"
ROUNDS = 5
BATCH = 128
CPU = torch.device("cpu")

Epoch = Callable[[], int]
"""Goes through all images once and returns how many there were."""


def kakusan(source: Path, size: int) -> Epoch:
    """Returns an epoch, whose first call has all the costs of the beginning."""
    opened: list[ImageBatches] = []

    def epoch() -> int:
        if not opened:
            opened.append(ImageBatches(load(source, size=size, channels=3, show=False), flip=True))
        batches = opened[0]
        return sum(len(batches(Draws(0, step, BATCH), CPU)) for step in range(batches.epoch // BATCH))

    return epoch


def torchvision(source: Path, size: int, workers: int) -> Epoch:
    """Returns the like of torchvision."""
    opened: list[DataLoader[tuple[torch.Tensor, torch.Tensor]]] = []
    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.RandomHorizontalFlip()]
    change = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    options = {"batch_size": BATCH, "shuffle": True, "drop_last": True, "persistent_workers": workers > 0}

    def epoch() -> int:
        if not opened:
            opened.append(DataLoader(ImageFolder(str(source), change), num_workers=workers, **options))
        return sum(len(pixels) for pixels, _ in opened[0])

    return epoch


def rate(epoch: Epoch) -> float:
    """Returns the images a second of one epoch."""
    start = time.perf_counter()
    return epoch() / (time.perf_counter() - start)


def gather(folder: Path | None, to: Path, count: int, size: int) -> None:
    """Copies images spread evenly over a folder, or makes some in ten classes."""
    if folder is not None:
        files = images_in(Folder(folder))
        for name in [files[index] for index in np.linspace(0, len(files) - 1, count).astype(int)]:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, to / name)
        return
    random = np.random.default_rng(0)
    for index in range(count):
        (to / str(index % 10)).mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(256, size=(8, 8, 3), dtype=np.uint8))
        coarse.resize((size, size)).save(to / str(index % 10) / f"{index}.jpg")


def processor() -> str:
    """Returns the name of the CPU as the system gives it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    """Measures all, taking turns, and stores the rates beside where and how they were measured."""
    parser = argparse.ArgumentParser(description="From the disk into a training step, beside torchvision.")
    parser.add_argument("folder", type=Path, nargs="?", help="images in folders by class; made by default")
    parser.add_argument("--images", type=int, default=2000, help="how many of them")
    parser.add_argument("--size", type=int, default=32, help="side in pixels to resize to")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="of torchvision's DataLoader")
    parser.add_argument("--note", default="", help="what else was going on, for the protocol")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        files = Path(directory) / "images"
        gather(given.folder, files, given.images, given.size)
        packed = Path(shutil.make_archive(str(files), "zip", files))
        cache = Path(directory) / "images.safetensors"
        prepare(files, cache, size=given.size, channels=3, show=False)
        contenders = {
            "folder": lambda: kakusan(files, given.size),
            "zip": lambda: kakusan(packed, given.size),
            "cache": lambda: kakusan(cache, given.size),
            "torchvision": lambda: torchvision(files, given.size, given.workers),
        }
        rates: dict[str, dict[str, list[float]]] = {name: {"first": [], "later": []} for name in contenders}
        for _ in range(ROUNDS):
            for name, begin in contenders.items():
                epoch = begin()
                for which in ("first", "later"):
                    rates[name][which].append(rate(epoch))
                del epoch  # ends the workers
    rows = []
    for which in ("first", "later"):
        medians = {name: statistics.median(rates[name][which]) for name in contenders}
        theirs = medians.pop("torchvision")
        for name, ours in medians.items():
            rows.append({"epoch": which, "source": name, "images_per_second": round(ours)})
            rows[-1] |= {"torchvision": round(theirs), "ratio": round(ours / theirs, 2)}
            print(f"{which} epoch, {name:6} {ours:7,.0f} /s, torchvision {theirs:6,.0f} /s: {ours / theirs:.2f}")
    options = f"--images {given.images} --size {given.size} --workers {given.workers}"
    protocol = {
        "date": date.today().isoformat(),
        "command": f"python benchmarks/loader.py {'FOLDER ' if given.folder else ''}{options}",
        "images": "a folder's" if given.folder else "made, JPEG",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        **{package: version(package) for package in ("torch", "torchvision", "pillow")},
        "batch": BATCH,
        "rounds": ROUNDS,
        "ratio": "images a second of kakusan / of torchvision, each the median over rounds",
        "note": given.note,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"protocol": protocol, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
