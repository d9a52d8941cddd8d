"""``kakusan info``: what this machine is, a run, a checkpoint, a configuration or a picture."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kakusan.commands.options import Debug, Json
from kakusan.commands.output import show_facts, show_json
from kakusan.errors import KakusanError

if TYPE_CHECKING:
    from kakusan.config import Config
    from kakusan.results import Judgement
    from kakusan.runs import Checkpoint

_PACKAGES = ("torch", "torchvision", "accelerate", "diffusers", "safetensors", "numpy")
_KINDS = ("network", "schedule", "parametrization")
_THINGS = "a run, a checkpoint, weights, a cache, a YAML file or a picture"


def info(
    thing: Annotated[
        Path | None,
        typer.Argument(metavar="RUN|FILE", help=f"{_THINGS}; nothing: this machine"),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Says what this machine, a run, a checkpoint, a configuration or a picture is."""
    facts = machine() if thing is None else _facts(thing)
    show_json(facts) if json else show_facts(facts)


def machine() -> dict[str, Any]:
    """Returns what matters of this machine."""
    from importlib.metadata import version  # slow to import, and not needed for help

    import torch
    from platformdirs import user_cache_path

    from kakusan.devices import memory

    there = memory()
    devices = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return {
        "kakusan": version("kakusan"),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_GiB": there and round(there / 2**30, 1),
        "devices": ["cpu", *devices, *(["mps"] if torch.backends.mps.is_available() else [])],
        "cache": str(user_cache_path("kakusan")),
        **{package: _version(package) for package in _PACKAGES},
    }


def _facts(thing: Path) -> dict[str, Any]:
    from kakusan.runs import Checkpoint, Run

    if not thing.exists():
        raise KakusanError(f"there is no {thing} (give {_THINGS}, or nothing)")
    if Run.is_at(thing):
        return run_facts(thing)
    if (thing / "state.json").is_file():
        return checkpoint_facts(Checkpoint(thing))
    if (thing / "study.json").is_file():
        Run.open(thing)  # which says what it is
    if thing.is_dir():
        raise KakusanError(
            f"{thing} is neither a run, which holds a config.yaml, nor a checkpoint, which holds a state.json (if it "
            f"holds images: kakusan data check {thing}; a pipeline of diffusers: kakusan import {thing} --run DIR)"
        )
    match thing.suffix:
        case ".safetensors":
            return cache_facts(thing) or weights_facts(thing)
        case ".yaml" | ".yml":
            return configuration_facts(thing)
    return picture_facts(thing)


def run_facts(path: Path) -> dict[str, Any]:
    """Returns what a run is and how far it has come; of a last checkpoint that is damaged, how it is."""
    from kakusan import config
    from kakusan.results import best_judgement, judgements_in, measurements_in
    from kakusan.runs import Run

    run = Run.open(path)
    lines, there = run.metrics(), run.checkpoints()
    settings = config.load(run.config_path)
    study = None
    with suppress(KakusanError):  # a damaged one is the report's concern
        study = run.measured().judgement
    judged = best_judgement(judgements_in(lines), study, settings.sampling)  # the one that heads the report
    try:
        last = checkpoint_facts(there[-1]) if there else {}
    except KakusanError as error:
        last = {"damaged": str(error)}
    losses = [line["loss"] for line in lines if "loss" in line]
    return {
        "run": str(path),
        **_choices(settings),
        **{name: value for name, value in last.items() if name != "checkpoint"},
        "loss": losses[-1] if losses else None,
        "checkpoints": [checkpoint.images for checkpoint in there],
        "evaluation": None if judged is None else _essence(judged),
        **{name: it.value for name, it in measurements_in(lines).items()},
        "size_MiB": _mebibytes(path),
    }


def configuration_facts(path: Path) -> dict[str, Any]:
    """Returns what a YAML file would train, and for how long."""
    from kakusan import config
    from kakusan.config.models import DURATIONS

    settings = config.load(path)
    lengths = {name: getattr(settings.training, name) for name in DURATIONS}
    return {
        "configuration": str(path),
        **_choices(settings),
        **{name: length for name, length in lengths.items() if length is not None},
        "batch_size": settings.training.batch_size,
    }


def _choices(settings: Config) -> dict[str, Any]:
    return {
        "written_by": settings.version,
        "data": settings.data.source,
        **{name: getattr(settings, name).kind for name in _KINDS if name not in settings.idle},
        **({} if settings.data.latent is None else {"latent": settings.data.latent}),
    }


def _essence(judgement: Judgement) -> dict[str, Any]:
    """Returns the numbers of a judgement, and whose they are."""
    numbers = judgement.model_dump(include={"frechet_distance", "noise_floor", "class_accuracy"})
    return {**numbers, "weights": judgement.protocol.get("weights")}


def picture_facts(path: Path) -> dict[str, Any]:
    """Returns what a picture is like as data, and how it was drawn, where it says so."""
    from kakusan import pictures
    from kakusan.data.decode import Unreadable, decode
    from kakusan.data.sources.files import opened

    read = decode(lambda: opened(path.read_bytes()), size=None, grey=False)
    if isinstance(read, Unreadable):
        raise KakusanError(f"{path} is nothing that kakusan can read: {read.reason} (give {_THINGS})")
    try:
        settings = pictures.read_metadata(path)
    except KakusanError:
        settings = {"settings": "none, so it cannot be drawn again"}
    return {"picture": str(path), "shape": list(read.pixels.shape), **settings}


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

    from kakusan.tensors import read_tensors

    tensors = read_tensors(path)
    return {
        "weights": str(path),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "tensors": len(tensors),
        "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}),
        "size_MiB": _mebibytes(path),
        "sha256": sha256(path.read_bytes()).hexdigest(),
    }


def cache_facts(path: Path) -> dict[str, Any] | None:
    """Returns what a prepared cache of images holds; None where a file is none."""
    from kakusan.data.cache import open_cache, origin

    made_from = origin(path)
    if made_from is None:
        return None
    images = open_cache(path).images
    return {
        "cache": str(path),
        "images": len(images),
        "shape": list(images.shape),
        "class_names": list(images.class_names),
        "captions": sum(map(bool, images.captions)),
        "made_from": made_from,
        "size_MiB": _mebibytes(path),
    }


def _mebibytes(path: Path) -> float:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return round(sum(file.stat().st_size for file in files) / 2**20, 1)


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
