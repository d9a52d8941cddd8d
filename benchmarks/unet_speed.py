"""Training step and sampling of our U-Net against diffusers' ``UNet2DModel``, on this machine.

Both carry the same weights in float32 and train with the same fused AdamW. They take turns call by call, so that
whatever slows the machine slows both, and a round counts its fastest call, because other programs only ever add time.
The median of five rounds is reported, as images a second and as a ratio above 1 where ours is faster.

    python benchmarks/unet_speed.py --threads 2
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from kakusan.interop.diffusers import DiffusersNetwork, unet_to_diffusers
from kakusan.networks import UNet

RESULTS = Path(__file__).parent / "results" / "unet_speed.json"
ROUNDS = 5
PLAIN = {"middle_attention": False, "scale_shift": True}  # as in the preset digits
CASES = {
    # name: arguments of the U-Net, images in a batch, their size, calls a round
    "digits": ({"in_channels": 1, "channels": (32, 48), "blocks": 1, **PLAIN}, 128, 8, 8),
    "digits, attention": ({"in_channels": 1, "channels": (48, 96), "blocks": 1, "attention_levels": (1,)}, 128, 8, 8),
    "32 x 32": ({"in_channels": 3, "channels": (64, 128, 128), "blocks": 2, "attention_levels": (1,)}, 8, 32, 2),
}


def training_step(network: nn.Module, x: Tensor, clock: Tensor) -> Callable[[], object]:
    """Returns a function that takes one step: forward, backward, AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        network(x, clock).square().mean().backward()
        optimizer.step()

    return step


def sampling_step(network: nn.Module, x: Tensor, clock: Tensor) -> Callable[[], object]:
    """Returns a function that calls the network once, as a sampler does."""

    @torch.no_grad()
    def step() -> None:
        network.eval()
        network(x, clock)

    return step


def take_turns(contenders: dict[str, Callable[[], object]], calls: int) -> dict[str, float]:
    """Returns the seconds a call of each contender: the median over rounds of the fastest call in a round."""
    for step in contenders.values():
        step()
    rounds = [one_round(contenders, calls) for _ in range(ROUNDS)]
    return {name: statistics.median(fastest[name] for fastest in rounds) for name in contenders}


def one_round(contenders: dict[str, Callable[[], object]], calls: int) -> dict[str, float]:
    """Returns the seconds of each contender's fastest call; call by call they take turns."""
    fastest = dict.fromkeys(contenders, float("inf"))
    for _ in range(calls):
        for name, step in contenders.items():
            start = time.perf_counter()
            step()
            fastest[name] = min(fastest[name], time.perf_counter() - start)
    return fastest


def measure(name: str) -> list[dict[str, object]]:
    """Returns one row for the training step and one for sampling."""
    options, batch, size, calls = CASES[name]
    torch.manual_seed(0)
    ours = UNet(**options)
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.02)
    theirs = DiffusersNetwork(unet_to_diffusers(ours, size))
    x, clock = torch.randn(batch, ours.in_channels, size, size), torch.rand(batch) * 999

    rows: list[dict[str, object]] = []
    for job, make in {"training step": training_step, "sampling": sampling_step}.items():
        seconds = take_turns({"kakusan": make(ours, x, clock), "diffusers": make(theirs, x, clock)}, calls)
        ratio = seconds["diffusers"] / seconds["kakusan"]
        rates = {who: round(batch / spent, 1) for who, spent in seconds.items()}
        rows.append({"case": name, "job": job, "batch": batch, "images_per_second": rates, "ratio": round(ratio, 3)})
        print(f"{name:20} {job:14} {rates['kakusan']:9.1f} /s against {rates['diffusers']:9.1f} /s: {ratio:.3f}")
    return rows


def processor() -> str:
    """Returns the name of the CPU as the system gives it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Measures every case and stores the rows beside where and how they were measured."""
    parser = argparse.ArgumentParser(description="Our U-Net against diffusers', same weights, taking turns.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    rows = [row for name in CASES for row in measure(name)]
    protocol = {
        "date": date.today().isoformat(),
        "command": f"python benchmarks/unet_speed.py --threads {threads}",
        "processor": processor(),
        "torch": version("torch"),
        "diffusers": version("diffusers"),
        "precision": "float32",
        "optimizer": "AdamW, fused",
        "rounds": ROUNDS,
        "ratio": "seconds of diffusers / seconds of kakusan, each the median over rounds of the fastest call",
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"protocol": protocol, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
