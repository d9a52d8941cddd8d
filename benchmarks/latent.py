"""What a step and a sample cost in latents, beside the same network in pixels, at several sizes of images.

Both networks have the same channels, so nearly as many parameters; the latents are those of an autoencoder that
shrinks by four, of random weights, since speed does not ask for others. A training step is forward, backward and AdamW;
a sample is one of so many steps of DDIM, the decoder included. They take turns; the median of the rounds counts, in ms
an image. Memory is what autograd keeps of a training step, in MiB an image. Told besides is how much of the
autoencoder's own pace is left when it encodes a data set onto the disk.

    python benchmarks/latent.py
    python benchmarks/latent.py --sizes 32 64 --rounds 3
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from kakusan import sampling, schedules
from kakusan.codec import Codec
from kakusan.config.models import Data, Sampling
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet
from kakusan.denoiser import Denoiser
from kakusan.devices import machine
from kakusan.feeding import Feed
from kakusan.latents import encoded
from kakusan.model import Model
from kakusan.networks import Autoencoder, UNet
from kakusan.parametrization import V
from kakusan.pictures import from_uint8
from kakusan.seeing import seen
from kakusan.studies.activations import activations

RESULTS = Path(__file__).parent / "results" / "latent.json"
CHANNELS = (32, 64, 128)
BATCH, STEPS = 4, 10
ENCODED = 512  # images


def models(size: int) -> dict[str, Model]:
    """Returns a model of pixels and one of latents."""
    codec = Codec(Autoencoder(3, channels=(32, 64, 64), middle_attention=False).eval(), (3, size, size))
    made = {}
    for name, channels, inside in (("pixels", 3, None), ("latents", codec.network.latent_channels, codec)):
        network = UNet(channels, channels=CHANNELS, blocks=1, middle_attention=False)
        denoiser = Denoiser(network, schedules.cosine(), V())
        made[name] = Model(denoiser, (3, size, size), sampling=Sampling(threshold="none", batch=BATCH), codec=inside)
    return made


def step(model: Model) -> Callable[[], object]:
    """Returns what takes one training step."""
    optimizer = torch.optim.AdamW(model.network.parameters(), fused=True)
    x, clock = torch.randn(BATCH, *model.latent_shape), torch.full((BATCH,), 500.0)

    def take() -> None:
        optimizer.zero_grad()
        model.network.train()(x, clock).square().mean().backward()
        optimizer.step()

    return take


def drawn(model: Model) -> Callable[[], object]:
    """Returns what draws a batch of samples."""
    how = sampling.settings(model.sampling, sampler="ddim", steps=STEPS)
    plan = sampling.plan(model, n=BATCH, settings=how)
    return lambda: sampling.sample(plan)


def in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Returns milliseconds an image, the median of rounds in which all take their turn."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn:
                spent[name].append(1000 * (time.perf_counter() - started) / BATCH)
    return {name: round(statistics.median(each), 3) for name, each in spent.items()}


def compared(size: int, rounds: int) -> dict[str, object]:
    """Returns what both cost at a size, and by how much latents cost less."""
    made = models(size)
    rows = {
        "step_ms": in_turn({name: step(model) for name, model in made.items()}, rounds),
        "sample_ms": in_turn({name: drawn(model) for name, model in made.items()}, rounds),
        "kept_mib": {
            name: round(activations(model.network, model.latent_shape) / 2**20, 2) for name, model in made.items()
        },
    }
    ratios = {name: round(row["pixels"] / row["latents"], 2) for name, row in rows.items()}
    print(f"{size:4} px", "  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()), flush=True)
    return {**rows, "parameters": {name: model.parameters for name, model in made.items()}, "ratios": ratios}


def encoding(size: int = 32) -> dict[str, float]:
    """Returns images a second of the autoencoder alone, and of encoding a data set, and the share that is left."""
    codec = Codec(Autoencoder(3, channels=(64, 128, 128), middle_attention=False).eval(), (3, size, size))
    pixels = torch.randint(0, 256, (ENCODED, 3, size, size), dtype=torch.uint8)
    feed = Feed(ImageBatches(ImageSet(pixels)), False, (), ())
    rates: dict[str, list[float]] = {"alone": [], "data set": []}
    with tempfile.TemporaryDirectory() as place:
        for turn in range(4):
            seen.user_cache_path = lambda name, turn=turn: Path(place) / f"{turn}" / name  # type: ignore[misc]
            started = time.perf_counter()
            for chunk in torch.split(pixels, 256):
                codec.encode(from_uint8(chunk))
            alone = time.perf_counter() - started
            started = time.perf_counter()
            encoded(feed, codec, Data(source="noise"), show=False)
            whole = time.perf_counter() - started
            if turn:
                rates["alone"].append(ENCODED / alone)
                rates["data set"].append(ENCODED / whole)
    found = {name: round(statistics.median(each), 1) for name, each in rates.items()}
    return {**found, "share": round(found["data set"] / found["alone"], 3)}


def main() -> None:
    """Measures and stores the rows."""
    parser = argparse.ArgumentParser(description="Latents beside pixels: a training step, a sample, memory.")
    parser.add_argument("--sizes", type=int, nargs="*", default=[32, 64, 128, 256])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.manual_seed(0)
    rows = {str(size): compared(size, given.rounds) for size in given.sizes}
    left = encoding()
    print(f"encoding a data set: {left['share']:.0%} of the autoencoder's own pace")
    found = {
        "date": date.today().isoformat(),
        "command": f"python benchmarks/latent.py --sizes {' '.join(map(str, given.sizes))} --rounds {given.rounds}",
        "machine": machine(),
        "batch": BATCH,
        "steps": STEPS,
        "sizes": rows,
        "encoding": left,
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
