"""Waiting for the images of a prepared cache that is larger than memory, beside one that fits.

The cache holds noise, 32×32, as large as memory and a quarter more (``--gib``), so that of images in random order most
have to come from the disk. The preset cifar10-small learns from it, and from one of 64 MiB, for so many images each, in
turn. Told besides is how many images a second come from either at most, into one batch after the other.

    python benchmarks/data_wait.py --place /a/disk/with/room
"""

import argparse
import json
import os
import statistics
import struct
import tempfile
import time
from datetime import date
from pathlib import Path

import torch

import kakusan
from kakusan import config
from kakusan.data import load
from kakusan.data.batches import ImageBatches
from kakusan.devices import machine
from kakusan.seeds import Draws

RESULTS = Path(__file__).parent / "results" / "data_wait.json"
SHAPE = (3, 32, 32)
BYTES = 3 * 32 * 32
CLASSES = 10
PART = 2**16  # images written at a time
CPU = torch.device("cpu")


def write(path: Path, count: int) -> None:
    """Writes a cache of noise: the file that ``kakusan data prepare`` would write of as many pictures, less names and
    checksums."""
    about = {"format": "kakusan images 1", "name": path.stem, "made_from": "{}"}
    about["class_names"] = json.dumps([str(i) for i in range(CLASSES)])
    labels = torch.arange(count) % CLASSES
    end = labels.nbytes
    tensors = {
        "labels": {"dtype": "I64", "shape": [count], "data_offsets": [0, end]},
        "images": {"dtype": "U8", "shape": [count, *SHAPE], "data_offsets": [end, end + count * BYTES]},
    }
    header = json.dumps({"__metadata__": about, **tensors}).encode()
    header = header.ljust(-(-len(header) // 8) * 8)
    noise = torch.randint(0, 256, (PART + CLASSES, *SHAPE), dtype=torch.uint8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + labels.numpy().tobytes())
        for start in range(0, count, PART):
            shift = start // PART % CLASSES
            file.write(noise[shift : shift + min(PART, count - start)].numpy().tobytes())
        os.fsync(file.fileno())


def delivered(path: Path, seconds: float = 10.0, batch: int = 128) -> float:
    """Returns how many images a second come in random order, into one batch after the other."""
    batches = ImageBatches(load(path), flip=True)
    started, step = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < seconds:
        batches(Draws(0, step, batch), CPU)
        step += 1
    return step * batch / spent


def trained(path: Path, images: int) -> tuple[float, float]:
    """Returns the share of time that a training waited for images, and its images a second."""
    length = {"data.source": str(path), "data.held_out": 0, "training.images": images, "training.samples_every": 0}
    with tempfile.TemporaryDirectory() as place:
        run = kakusan.train(config.load("cifar10-small", length), run=Path(place) / "run", show=False)
        lines = [line for line in run.metrics() if "data_wait" in line]
    wait = statistics.mean(line["data_wait"] for line in lines)
    return wait, statistics.median(line["images_per_second"] for line in lines)


def main() -> None:
    """Measures both caches and stores what was found."""
    parser = argparse.ArgumentParser(description="Waiting for images of a cache larger than memory.")
    parser.add_argument("--place", type=Path, help="where the cache goes; a temporary directory by default")
    parser.add_argument("--gib", type=float, help="its size; memory and a quarter by default")
    parser.add_argument("--images", type=int, default=8_000, help="length of a training")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gib = given.gib or 1.25 * memory
    with tempfile.TemporaryDirectory(dir=given.place) as directory:
        caches = {"fits": Path(directory) / "small.safetensors", "larger": Path(directory) / "large.safetensors"}
        write(caches["fits"], 2**26 // BYTES)
        write(caches["larger"], round(gib * 2**30 / BYTES))
        most = {name: round(delivered(path)) for name, path in caches.items()}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in caches}
        for _ in range(given.rounds):
            for name, path in caches.items():
                found[name].append(trained(path, given.images))
    rows = {
        name: {
            "data_wait": round(statistics.median(wait for wait, _ in each), 5),
            "images_per_second": round(statistics.median(pace for _, pace in each), 2),
            "delivered_at_most": most[name],
        }
        for name, each in found.items()
    }
    for name, row in rows.items():
        print(f"{name:7}", "  ".join(f"{key} {value}" for key, value in row.items()))
    pace = rows["larger"]["images_per_second"] / rows["fits"]["images_per_second"]
    print(f"pace from the larger one: {pace:.3f} times that from the one that fits")
    told = {
        "date": date.today().isoformat(),
        "command": "python benchmarks/data_wait.py",
        "machine": machine(),
        "memory_gib": round(memory, 1),
        "cache_gib": round(gib, 1),
        "caches": rows,
        "ratio": round(pace, 3),
    }
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
