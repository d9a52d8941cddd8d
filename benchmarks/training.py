"""Training as a whole, on this machine: our engine, a bare loop of the same network, and other libraries' own loops.

Every contender is a process of its own that takes a few steps when told to; they are told in turn, one at a time, so
that whatever slows the machine slows all of them. Five rounds after a first that is not counted (it compiles, and fills
caches); the median is reported, as images a second, beside the memory that training took at its peak.

* ``kakusan``: the engine, with clipping, guard, running average and books.
* ``bare``: our network and loss in a loop of ten lines, with the same AdamW, clipping and running average, on images
  that lie ready; on a CPU it keeps freed memory, as our trainings do. What the engine costs is the time of ``kakusan``
  over that of ``bare``.
* ``bare, as torch comes``: the same, with freed memory given back: what keeping it gains.
* ``diffusers``: ``UNet2DModel`` of the same size in the loop of its example, unconditional image generation.
* ``lucidrains``: ``denoising_diffusion_pytorch``, where it is installed, as its trainer trains; its widths are whole
  multiples of the first, so that it can do the large network alone.

Utilisation is the work of the matrices and convolutions of our network over the most that products of matrices reach
here; diffusers' network is the same, lucidrains' another.

    python benchmarks/training.py                          # both networks, eager
    python benchmarks/training.py --compile
    python benchmarks/training.py --profile                # where the time of a step of ours goes, in a file of its own
    python benchmarks/training.py --case cifar10 --batch 8 --steps 1 --with channels_last=true --with dtype=bfloat16
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import TensorDataset

from kakusan import build, config, feeding
from kakusan.condition import Condition
from kakusan.data.images import ImageSet
from kakusan.denoiser import Denoiser
from kakusan.devices import keep_freed_memory, machine, peak_memory, resolve
from kakusan.networks import UNet
from kakusan.objective import TimeSampling, denoising_loss
from kakusan.studies.forecast import flop_per_image, peak_flops
from kakusan.training.start import engine_of, task_of

RESULTS = Path(__file__).parent / "results" / "training.json"
PROFILE = RESULTS.with_name("training_profile.json")
ROUNDS = 5
ENDLESS = 10**6
DDPM = {  # the U-Net of Ho et al. (2020) for CIFAR-10, 35.7 million parameters
    "network": {"channels": [128, 256, 256, 256], "blocks": 2, "attention_resolutions": [16], "dropout": 0.1},
    "schedule": {"kind": "linear"},
    "parametrization": {"kind": "epsilon"},
}
CASES = {  # overrides of the defaults, shape of an image, images a step, steps a turn
    "cifar10": (DDPM, (3, 32, 32), 16, 2),
    "digits": (None, (1, 8, 8), 128, 20),
}


KINDS = {  # words in the names of torch's operators
    "convolutions": ("convolution",),
    "matrix products": ("aten::mm", "addmm", "bmm"),
    "attention": ("attention",),
    "dropout": ("bernoulli", "dropout"),
    "normalisation": ("group_norm",),
    "optimizer and average": ("adam", "lerp"),
}


class Gate:
    """Lets a training loop pass so many steps at a time, and tells how long they took."""

    def __init__(self, orders: Connection, device: torch.device) -> None:
        self._orders, self._device, self._left, self._since = orders, device, 0, 0.0

    def pass_one(self) -> None:
        """Called at the beginning of every step; waits until another is wanted, or ends the process."""
        if self._left == 0:
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            if self._since:
                self._orders.send((time.perf_counter() - self._since, peak_memory(self._device) or 0))
            self._left = self._orders.recv()
            if self._left == 0:
                raise SystemExit
            self._since = time.perf_counter()
        self._left -= 1


class Window:
    """Lets two steps pass, three under torch's profiler, and then ends."""

    def __init__(self) -> None:
        self.profiler = torch.profiler.profile()
        self._passed = 0

    def pass_one(self) -> None:
        """Called at the beginning of every step."""
        self._passed += 1
        if self._passed == 3:
            self.profiler.start()
        if self._passed == 6:
            self.profiler.stop()
            raise SystemExit


class Gated:
    """Batches behind a gate: so the engine is measured as it is."""

    def __init__(self, batches: Any, gate: Gate | Window) -> None:
        self._batches, self._gate = batches, gate
        self.epoch, self.shape = batches.epoch, batches.shape

    def __call__(self, draws: Any, device: torch.device) -> Any:
        self._gate.pass_one()
        return self._batches(draws, device)


def settings(case: str, batch: int, device: str, compiled: bool, fields: dict[str, Any]) -> config.Config:
    """Returns the configuration of a case."""
    training = {"steps": ENDLESS, "batch_size": batch, "device": device, "compile": compiled, **fields}
    own = CASES[case][0]
    if own is None:
        return config.load("digits", {f"training.{name}": value for name, value in training.items()})
    return config.from_mapping({"data": {"source": "random"}, **own, "training": training}, {})


def images(case: str) -> ImageSet:
    """Returns images of nothing: what they show costs no time."""
    classes = () if case == "cifar10" else tuple("0123456789")
    pixels = torch.randint(0, 256, (2048, *CASES[case][1]), dtype=torch.uint8)
    return ImageSet(pixels, torch.arange(2048) % 10 if classes else None, classes)


def kakusan(gate: Gate, made: config.Config, data: ImageSet) -> None:
    """Trains with the engine, as ``kakusan train`` does."""
    if resolve(made.training.device).type == "cpu":
        keep_freed_memory()
    feed = feeding.feed(made, data, None, ())
    model = build.model(made, data.shape, feed.class_names)
    engine_of(model, Gated(feed.batches, gate), None, made, show=False).train()


def bare(gate: Gate, made: config.Config, data: ImageSet, keep: bool = True) -> None:
    """Trains the same network without an engine."""
    device = resolve(made.training.device)
    if keep and device.type == "cpu":
        keep_freed_memory()
    network = build.model(made, data.shape, data.class_names).denoiser.network.to(device).train()
    average, parameters = copy.deepcopy(network), list(network.parameters())
    averaged = list(average.parameters())
    live: Any = torch.compile(network) if made.training.compile else network
    denoiser = Denoiser(live, build.schedule(made.schedule), build.parametrization(made.parametrization))
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    for x0, labels in forever(data, made.training.batch_size, device):
        gate.pass_one()
        condition = None if labels is None else Condition(labels)
        times = TimeSampling()(denoiser.schedule, torch.rand(len(x0), dtype=torch.float64))
        denoising_loss(denoiser, x0, times, torch.randn_like(x0), condition).mean().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(averaged, parameters, 1e-4)


def diffusers(gate: Gate, made: config.Config, data: ImageSet) -> None:
    """Trains as ``examples/unconditional_image_generation/train_unconditional.py`` of diffusers does, with its EMA."""
    from accelerate import Accelerator
    from diffusers import DDPMScheduler, UNet2DModel
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    from kakusan.interop.diffusers import unet_to_diffusers

    network = build.model(made, data.shape, ()).denoiser.network
    assert isinstance(network, UNet)
    model = unet_to_diffusers(network, data.shape[-1]).train()
    accelerator = Accelerator(cpu=made.training.device == "cpu")
    ema = EMAModel(model.parameters(), use_ema_warmup=True, model_cls=UNet2DModel, model_config=model.config)
    noise_scheduler = DDPMScheduler()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    rate = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=ENDLESS)
    model, optimizer, rate = accelerator.prepare(model, optimizer, rate)
    if made.training.compile:
        model = torch.compile(model)
    ema.to(accelerator.device)
    for x0, _ in forever(data, made.training.batch_size, accelerator.device):
        gate.pass_one()
        noise = torch.randn_like(x0)
        steps = torch.randint(0, noise_scheduler.config.num_train_timesteps, (len(x0),), device=x0.device).long()
        loss = mse_loss(model(noise_scheduler.add_noise(x0, noise, steps), steps).sample, noise)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        ema.step(model.parameters())
        loss.detach().item()  # for its progress bar


def lucidrains(gate: Gate, made: config.Config, data: ImageSet) -> None:
    """Trains as the ``Trainer`` of ``denoising_diffusion_pytorch`` does, with a U-Net of like widths."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    channels, size, _ = data.shape
    device, widths = resolve(made.training.device), made.network.channels  # type: ignore[union-attr]
    network = Unet(dim=widths[0], dim_mults=tuple(width // widths[0] for width in widths), channels=channels)
    live: Any = torch.compile(network) if made.training.compile else network
    model = GaussianDiffusion(live, image_size=size).to(device).train()
    average = EMA(model, beta=0.995, update_every=10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99))
    for x0, _ in forever(data, made.training.batch_size, device):
        gate.pass_one()
        loss = model((x0 + 1) / 2)
        loss.backward()
        loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update()


CONTENDERS: dict[str, Callable[[Gate, config.Config, ImageSet], None]] = {
    "kakusan": kakusan,
    "bare": bare,
    "bare, as torch comes": partial(bare, keep=False),
    "diffusers": diffusers,
    "lucidrains": lucidrains,
}


def forever(data: ImageSet, batch: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yields batches of pixels in [-1, 1], with their labels where there are any, by torch's own loader."""
    tensors = (data.images,) if data.labels is None else (data.images, data.labels)
    loader = torch.utils.data.DataLoader(TensorDataset(*tensors), batch, shuffle=True, drop_last=True)
    while True:
        for images, *labels in loader:
            yield images.to(device).float() / 127.5 - 1, labels[0].to(device) if labels else None


def serve(orders: Connection, who: str, case: str, batch: int, arguments: argparse.Namespace, fields: dict) -> None:
    """Is a contender's process."""
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    made = settings(case, batch, arguments.device, arguments.compile, fields)
    data, device = images(case), resolve(arguments.device)
    orders.send(peak_memory(device) or 0)
    CONTENDERS[who](Gate(orders, device), made, data)


def measure(case: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns a row for every contender of a case."""
    _, _, batch, steps = CASES[case]
    batch, steps = arguments.batch or batch, arguments.steps or steps
    wanted = {who: (who, {}) for who in arguments.only or CONTENDERS}
    wanted |= {f"kakusan, {given}": ("kakusan", dict([read(given)])) for given in arguments.fields}
    if find_spec("denoising_diffusion_pytorch") is None or case == "digits":  # whose widths are no multiples
        wanted.pop("lucidrains", None)
    context, workers = multiprocessing.get_context("spawn"), {}
    for name, (who, fields) in wanted.items():
        mine, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, who, case, batch, arguments, fields), daemon=True)
        process.start()
        theirs.close()
        workers[name] = (mine, mine.recv(), process)
    told: dict[str, list[tuple[float, int]]] = {name: [] for name in workers}
    for turn in range(arguments.rounds + 1):
        for name, (orders, _, _) in workers.items():
            orders.send(steps if turn else 2)
            told[name].append(orders.recv())
    with context.Pool(1) as elsewhere:  # or this process would grow, and the next contenders would begin as large
        rows, peak, work = [], *elsewhere.apply(possible, (case, arguments))
    for name, (orders, before, process) in workers.items():
        orders.send(0)
        process.join()
        seconds = statistics.median(spent for spent, _ in told[name][1:]) / steps
        memory = (told[name][-1][1] - before) / 2**20
        busy = None if name == "lucidrains" else round(batch / seconds * work / peak, 3)
        rows.append(
            {
                "case": case,
                "who": name,
                "batch": batch,
                "compiled": arguments.compile,
                "images_per_second": round(batch / seconds, 2),
                "first_seconds": round(told[name][0][0], 1),
                "peak_mib": round(memory),
                "utilisation": busy,
            }
        )
        print(f"{case:8} {name:32} {batch / seconds:9.2f} images/s  {memory:7.0f} MiB  {busy or ''}", flush=True)
    return rows


def possible(case: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """Returns the operations a second that are possible here, and those that an image takes."""
    torch.set_num_threads(arguments.threads)
    data, made = images(case), settings(case, 2, arguments.device, False, {})
    feed, device = feeding.feed(made, data, None, ()), resolve(arguments.device)
    model = build.model(made, data.shape, feed.class_names)
    model.denoiser.to(device)
    peak = peak_flops(device, getattr(torch, made.training.dtype), 3.0)
    return peak, flop_per_image(task_of(model, feed.batches, made), feed.batches, 0)


def shares(case: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Returns which share of three steps of ours each kind of work takes, by torch's profiler."""
    torch.set_num_threads(arguments.threads)
    made, data = settings(case, arguments.batch or CASES[case][2], arguments.device, False, {}), images(case)
    if resolve(arguments.device).type == "cpu":
        keep_freed_memory()
    feed = feeding.feed(made, data, None, ())
    window, spent = Window(), dict[str, float]()
    with suppress(SystemExit):
        model = build.model(made, data.shape, feed.class_names)
        engine_of(model, Gated(feed.batches, window), None, made, show=False).train()
    rows = window.profiler.key_averages()
    total = sum(row.self_device_time_total or row.self_cpu_time_total for row in rows)
    for row in rows:
        kind = next((kind for kind, words in KINDS.items() if any(word in row.key for word in words)), "the rest")
        spent[kind] = spent.get(kind, 0.0) + (row.self_device_time_total or row.self_cpu_time_total) / total
    return dict(sorted(((kind, round(share, 3)) for kind, share in spent.items()), key=lambda it: -it[1]))


def read(given: str) -> tuple[str, Any]:
    """Returns the field and the value of FIELD=VALUE."""
    name, _, value = given.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main() -> None:
    """Measures and stores the rows beside where and how they were measured."""
    parser = argparse.ArgumentParser(description="Our engine against a bare loop and other libraries, taking turns.")
    parser.add_argument("--case", choices=CASES, help="which network; both by default")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, help="which contenders; all by default")
    parser.add_argument("--with", dest="fields", action="append", default=[], metavar="FIELD=VALUE",
                        help="another kakusan, with this field of training")  # fmt: skip
    parser.add_argument("--batch", type=int, help="images a step")
    parser.add_argument("--steps", type=int, help="steps a turn")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns that count")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--device", default="cpu", help="where to compute")
    parser.add_argument("--compile", action="store_true", help="compile the networks")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="where the rows go")
    parser.add_argument("--profile", action="store_true", help="tell only which work takes how much of a step of ours")
    arguments = parser.parse_args()
    where = {"date": date.today().isoformat(), "command": " ".join(["python benchmarks/training.py", *sys.argv[1:]])}
    cases = [arguments.case] if arguments.case else list(CASES)
    if arguments.profile:
        found = {case: shares(case, arguments) for case in cases}
        for case, each in found.items():
            print(case, ", ".join(f"{kind} {share:.1%}" for kind, share in each.items()))
        PROFILE.write_text(json.dumps({**where, "machine": machine(), "shares": found}, indent=2) + "\n")
        return
    rows = [row for case in cases for row in measure(case, arguments)]
    protocol = {
        **where,
        "device": torch.cuda.get_device_name() if arguments.device.startswith("cuda") else "cpu",
        "threads": arguments.threads,
        "versions": {name: version(name) for name in ("kakusan", "torch", "diffusers", "accelerate")},
        "rounds": arguments.rounds,
        "images_per_second": "of the median turn; contenders take turns",
        "peak_mib": "growth of the process from before the network was made; on CUDA what torch reserved",
        "utilisation": "of the most that products of matrices reach here, in the dtype of the case",
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps({"protocol": protocol, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
