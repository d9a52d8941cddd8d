"""Seeing images for a FID, or for precision and recall, on this machine: ours beside others in turn; and our memory.

All run torch-fidelity's Inception-v3, or its VGG16, with random weights, since speed does not ask for others: nothing
is downloaded. Images are random, 32×32, in batches of 64; the median of the rounds counts, as images a second. Ours
also puts the features onto the disk.

Memory is told as the growth of a process, on Linux, while it measures FID, KID, precision and recall of 1,000 images,
10,000, and 50,000. The features of the last would take 2.8 GB: on the disk they do not count. There the place of a
network is taken by a random projection to as many numbers, which sees quickly: what a network itself needs does not
grow with images.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --images 128 --rounds 3 --sizes 500 1000
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from kakusan.data.images import ImageSet
from kakusan.devices import machine
from kakusan.evaluation import measure as measuring
from kakusan.evaluation.features import NETWORKS, extractor
from kakusan.seeing import seen as seeing
from kakusan.seeing.sources import Stored
from kakusan.seeing.store import Store
from kakusan.weights import PRETRAINED

RESULTS = Path(__file__).parent / "results" / "evaluation.json"
CPU = torch.device("cpu")


def make_weights(place: Path) -> None:
    """Writes random weights of both networks in the format of the published ones."""
    from torch_fidelity import feature_extractor_inceptionv3 as real

    torch.manual_seed(0)
    real.load_state_dict_from_url = lambda *arguments, **options: {}
    load, real.FeatureExtractorInceptionV3.load_state_dict = nn.Module.load_state_dict, lambda self, state: None
    network = real.FeatureExtractorInceptionV3("inception", ["2048"])
    real.FeatureExtractorInceptionV3.load_state_dict = load
    torch.save(network.state_dict(), place / PRETRAINED["inception"].file)
    torch.save(models.vgg16().state_dict(), place / PRETRAINED["vgg16"].file)


def images(count: int) -> Tensor:
    """Returns images of nothing."""
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def contenders(kind: str, place: Path, pixels: Tensor) -> dict[str, Callable[[], object]]:
    """Returns what sees all images once with a network, by name."""
    from torch_fidelity.utils import create_feature_extractor, get_featuresdict_from_dataset
    from torchmetrics.image.fid import FrechetInceptionDistance

    file = str(place / PRETRAINED[kind].file)
    ours = extractor(kind, place, device=CPU)
    registered, layers = {
        "inception": ("inception-v3-compat", ["2048", "logits_unbiased"]),
        "vgg16": ("vgg16", ["fc2_relu"]),
    }[kind]
    theirs = create_feature_extractor(registered, layers, cuda=False, feature_extractor_weights_path=file)

    class Pixels(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, index: int) -> Tensor:
            return pixels[index]

    def kakusan() -> None:
        with tempfile.TemporaryDirectory() as directory:
            store = Store(Path(directory), len(pixels), ours.layers)
            for chunk in torch.split(pixels, 64):
                store.add(ours(chunk, None))

    made: dict[str, Callable[[], object]] = {
        "kakusan": kakusan,
        "torch-fidelity": lambda: get_featuresdict_from_dataset(Pixels(), theirs, 64, False, True, False),
    }
    if kind == "inception":
        metric = FrechetInceptionDistance(feature=2048, feature_extractor_weights_path=file)
        made["torchmetrics"] = lambda: [metric.update(chunk, real=True) for chunk in torch.split(pixels, 64)]
    return made


def measured(kind: str, place: Path, count: int, rounds: int) -> dict[str, float]:
    """Returns how many images a second each contender sees, the median of rounds in which all take their turn."""
    seen = contenders(kind, place, images(count))
    spent: dict[str, list[float]] = {name: [] for name in seen}
    for turn in range(rounds + 1):
        for name, see in seen.items():
            started = time.perf_counter()
            see()
            if turn:
                spent[name].append(time.perf_counter() - started)
    rates = {name: round(count / statistics.median(each), 2) for name, each in spent.items()}
    for name, rate in rates.items():
        print(f"{kind:10} {name:16} {rate:8.2f} images/s", flush=True)
    return rates


class Projection:
    """Sees in an image as many numbers as a network does, at once."""

    resize, device, library = "not at all", CPU, "none"

    def __init__(self, kind: str, *given: object, **how: object) -> None:
        self.name, self.layers = f"as large as {kind}", dict(NETWORKS[kind].layers)
        self._to = torch.randn(48, sum(self.layers.values()), generator=torch.Generator().manual_seed(0))

    def __call__(self, seen: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        small = nn.functional.adaptive_avg_pool2d(seen.float() / 255, 4).flatten(1)
        parts = torch.split((small @ self._to).relu(), list(self.layers.values()), dim=1)
        return dict(zip(self.layers, parts, strict=True))


def grown(place: Path, count: int) -> float:
    """Returns by how many MiB a process grows that measures so many images, in a process of its own."""
    command = [sys.executable, __file__, "--grow", str(count), "--place", str(place)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def grow(place: Path, count: int) -> None:
    """Prints by how much this process grows."""
    seeing.user_cache_path = lambda name: place / "cache"
    measuring.extractor = Projection
    sets = [ImageSet(images(count + more), name=f"set {more}") for more in (0, 1)]
    few = (Stored(ImageSet(it.images[:64], name=it.name)) for it in sets)
    measuring.measure(*few, ["fid"], device=CPU, show=False)
    before, most, done = anonymous(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    measuring.measure(*map(Stored, sets), ["fid", "kid", "prc"], device=CPU, show=False)
    done.set()
    watcher.join()
    print(most[0] - before)


def anonymous() -> float:
    """Returns the memory of this process that no file backs, in MiB: the rest the system takes back as it likes."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def main() -> None:
    """Measures and stores the rows beside where and how they were measured."""
    parser = argparse.ArgumentParser(description="Seeing images for a FID, beside others; and our memory.")
    parser.add_argument("--images", type=int, default=256, help="images a turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns that count")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[1000, 10_000, 50_000], help="images whose memory is told"
    )
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.grow:
        grow(given.place, given.grow)
        return
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        make_weights(place)
        rates = {kind: measured(kind, place, given.images, given.rounds) for kind in NETWORKS}
        memory = {str(count): round(grown(place, count), 1) for count in given.sizes}
        print("memory, MiB:", memory)
    found = {
        "date": date.today().isoformat(),
        "command": " ".join(["python benchmarks/evaluation.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": {name: version(name) for name in ("torch-fidelity", "torchmetrics", "torch")},
        "images_per_second": rates,
        "ratios": {
            kind: {name: round(each["kakusan"] / rate, 3) for name, rate in each.items() if name != "kakusan"}
            for kind, each in rates.items()
        },
        "memory_mib": memory,
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
