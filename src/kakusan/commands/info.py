"""``kakusan info``: what this machine is, a run, a checkpoint, or a picture."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kakusan.commands.options import Debug, Json
from kakusan.commands.output import show_facts, show_json
from kakusan.errors import KakusanError

if TYPE_CHECKING:
    from kakusan.runs import Checkpoint

_PACKAGES = ("torch", "torchvision", "accelerate", "diffusers", "safetensors", "numpy")


def info(
    thing: Annotated[
        Path | None,
        typer.Argument(metavar="RUN|FILE", help="a run, a checkpoint, weights or a picture; nothing: this machine"),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Says what this machine, a run, a checkpoint or a picture is."""
    facts = machine() if thing is None else _facts(thing)
    show_json(facts) if json else show_facts(facts)


def machine() -> dict[str, Any]:
    """Returns what matters of this machine."""
    import torch

    devices = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return {
        "kakusan": version("kakusan"),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_GiB": _memory(),
        "devices": ["cpu", *devices, *(["mps"] if torch.backends.mps.is_available() else [])],
        **{package: _version(package) for package in _PACKAGES},
    }


def _facts(thing: Path) -> dict[str, Any]:
    from kakusan.runs import Checkpoint

    if not thing.exists():
        raise KakusanError(f"there is no {thing} (give a run, a checkpoint or a picture of kakusan, or nothing)")
    if (thing / "config.yaml").is_file():
        return run_facts(thing)
    if (thing / "state.json").is_file():
        return checkpoint_facts(Checkpoint(thing))
    if thing.suffix == ".safetensors":
        return weights_facts(thing)
    if thing.is_file():
        from kakusan import pictures

        return {"picture": str(thing), **pictures.read_metadata(thing)}
    raise KakusanError(
        f"{thing} is neither a run, which holds a config.yaml, nor a checkpoint, which holds a state.json"
    )


def run_facts(path: Path) -> dict[str, Any]:
    """Returns what a run is and how far it has come."""
    from kakusan import config
    from kakusan.runs import Run

    run = Run.open(path)
    settings = config.load(run.config_path)
    lines, there = run.metrics(), run.checkpoints()
    last = checkpoint_facts(there[-1]) if there else {}
    losses = [line["loss"] for line in lines if "loss" in line]
    judged = [line["evaluation"] for line in lines if "evaluation" in line]
    distances = ("frechet_distance", "noise_floor", "class_accuracy")
    return {
        "run": str(path),
        "written_by": settings.version,
        "data": settings.data.source,
        "network": settings.network.kind,
        "schedule": settings.schedule.kind,
        "parametrization": settings.parametrization.kind,
        **{name: value for name, value in last.items() if name != "checkpoint"},
        "loss": losses[-1] if losses else None,
        "checkpoints": [checkpoint.images for checkpoint in there],
        "evaluation": {name: judged[-1][name] for name in distances} if judged else None,
        "size_MiB": _mebibytes(path),
    }


def checkpoint_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns what a checkpoint holds."""
    state = checkpoint.state()
    return {
        "checkpoint": str(checkpoint.path),
        **{name: state.get(name) for name in ("images", "total_images", "shape", "class_names")},
        "steps": state.get("step"),
        "parameters": weights_facts(checkpoint.weights_path("ema"))["parameters"],
        "size_MiB": _mebibytes(checkpoint.path),
    }


def weights_facts(path: Path) -> dict[str, Any]:
    """Returns what a file of weights holds."""
    from hashlib import sha256

    from kakusan.runs import read_tensors

    tensors = read_tensors(path)
    return {
        "weights": str(path),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "tensors": len(tensors),
        "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}),
        "size_MiB": _mebibytes(path),
        "sha256": sha256(path.read_bytes()).hexdigest(),
    }


def _mebibytes(path: Path) -> float:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return round(sum(file.stat().st_size for file in files) / 2**20, 1)


def _memory() -> float | None:
    """Returns the machine's memory in GiB, where the system says it."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
