"""A VAE, a GAN and a diffusion model on the same images for the same time: table 4.1 of the chapter, measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean, stdev
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from kakusan import api, config, seeds
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet
from kakusan.devices import device_of, resolve
from kakusan.evaluation.evaluate import judged
from kakusan.files import atomic_write
from kakusan.pictures import to_uint8
from kakusan.results import Forecast, Judgement, Value
from kakusan.seeing.sources import Stored
from kakusan.studies import gan
from kakusan.studies.forecast import forecast
from kakusan.studies.workshop import Workshop, train_seconds
from kakusan.tensors import load_weights, pack
from kakusan.trials import Experiment, Part, Sentence, Trial, averaged

_SEEDS = 3  # however small the budget: of one nothing is known of stability
_SHARE = 2  # of a study's usual length
_PACE = 5.0  # seconds
_SHOWN, _CHUNK = 10, 250
_WIDTHS = (32, 64, 128)
_VAE = {"latent_channels": 8, "middle_attention": False}
_SPREAD = 0.15  # deviation of a pixel, in [−1, 1], that the VAE takes for noise


class _Found(BaseModel):
    judgement: Judgement
    seconds: float
    parameters: int

    @property
    def protocol(self) -> dict[str, Any]:
        return self.judgement.protocol


class _Pace(BaseModel):
    seconds: float  # a step


@dataclass(frozen=True)
class _Made:
    """What was trained, as all families have it.

    Attributes:
        draw: From a count to so many images, values in [−1, 1], (n, C, H, W), always the same first ones.
        parameters: Of what draws.
        train_seconds: Time that training took at its usual pace.
    """

    draw: Callable[[int], Tensor]
    parameters: int
    train_seconds: float


def families(shop: Workshop) -> Experiment:
    """Trains each family three times for as long, and tells quality, diversity, stability and cost."""
    length = max(shop.settings.training.batch_size, shop.images_to_see // _SHARE)
    seconds: dict[int, float] = {}
    tried: dict[str, list[Trial]] = {}
    shown: dict[str, Tensor] = {}
    for seed in range(_SEEDS):
        for name, make in _FAMILIES.items():
            made = make(shop, seed, length, seconds)
            found = shop.found(f"{name}-{seed}", _Found, partial(_judged, shop, made))
            tried.setdefault(name, []).append(_row(name, found, made))
            shown.setdefault(name, made.draw(_SHOWN))
    rows = tuple(_with_spread(averaged(each), each) for each in tried.values())
    first, second = finding(rows)
    return shop.experiment((first, second), Part("compared", first, rows, pictures=shown))


def finding(rows: Sequence[Trial]) -> tuple[Sentence, Sentence]:
    """Says which family comes nearest to real images, if doubt allows, and which draws quickest and varies least."""
    best, *others = sorted(rows, key=lambda row: row.values["distance"].value)
    apart = all(best.values["distance"].beyond(other.values["distance"]) for other in others)
    quickest = min(rows, key=lambda row: row.values["seconds"].value)
    slowest = max(rows, key=lambda row: row.values["seconds"].value)
    steadiest = min(rows, key=lambda row: row.values["spread"].value)
    told = {
        "best": Sentence(f"trial.{best.name}"),
        "distance": best.values["distance"].value,
        "other": Sentence(f"trial.{others[0].name}"),
        "others": others[0].values["distance"].value,
    }
    costs = {
        "quickest": Sentence(f"trial.{quickest.name}"),
        "slowest": Sentence(f"trial.{slowest.name}"),
        "times": slowest.values["seconds"].value / quickest.values["seconds"].value,
        "steadiest": Sentence(f"trial.{steadiest.name}"),
        "spread": steadiest.values["spread"].value,
    }
    return (
        Sentence(f"study.generative-families.{'best' if apart else 'alike'}", told),
        Sentence("study.generative-families.costs", costs),
    )


def _diffusion(shop: Workshop, seed: int, length: int, seconds: dict[int, float]) -> _Made:
    changes = {"training.images": length, "sampling.guidance": 1.0}
    if hasattr(shop.settings.network, "class_conditional"):
        changes["network.class_conditional"] = False
    run = shop.trained("diffusion", changes, seed)
    model = shop.load(run)
    seconds[seed] = train_seconds(run).value
    return _Made(lambda n: api.sample(model, n=n, seed=0).cpu(), model.parameters, seconds[seed])


def _vae(shop: Workshop, seed: int, length: int, seconds: dict[int, float]) -> _Made:
    settings = vae_of(shop.settings, shop.images.shape)
    cost = shop.found("pace-vae", Forecast, partial(forecast, settings, "vae", _PACE, shop.show))
    images = max(settings.training.batch_size, round(cost.images_per_second * seconds[seed]))
    run = shop.trained("vae", {"training.images": images}, seed, settings)
    codec = api.load_autoencoder(run, device=shop.device)
    decoder = sum(it.numel() for part in (codec.network.decoder, codec.network.dequantize) for it in part.parameters())
    return _Made(lambda n: api.sample(codec, n=n, seed=0).cpu(), decoder, train_seconds(run).value)


def _gan(shop: Workshop, seed: int, length: int, seconds: dict[int, float]) -> _Made:
    device, place = resolve(shop.device), shop.path / "runs" / f"gan-{seed}.safetensors"
    generator = gan.Generator(shop.images.shape)
    if place.is_file():
        load_weights(generator, place)
    else:
        batches = ImageBatches(shop.images, shop.settings.data.flip)
        pace = shop.found("pace-gan", _Pace, lambda: _Pace(seconds=gan.seconds_a_step(batches, device))).seconds
        generator = gan.train(batches, max(1, round(seconds[seed] / pace)), seed, device, shop.show)
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(place, pack(generator.state_dict()))
    generator.to(device).eval()

    def draw(n: int) -> Tensor:
        where = device_of(generator)
        noise = seeds.ImageNoise(0, range(n))(torch.empty(n, gan.LATENT)).to(where)
        with torch.no_grad():
            return torch.cat([generator(part).cpu() for part in torch.split(noise, _CHUNK)])

    parameters = sum(weight.numel() for weight in generator.parameters())
    return _Made(draw, parameters, seconds[seed])


_FAMILIES: Mapping[str, Callable[[Workshop, int, int, dict[int, float]], _Made]] = {
    "diffusion": _diffusion,  # the first, whose time is that of all
    "vae": _vae,
    "gan": _gan,
}


def vae_of(settings: config.Config, shape: tuple[int, int, int]) -> config.Config:
    """Returns a plain VAE of a study's images: latents of 2×2, pixels that deviate by a little.

    Args:
        settings: The study's configuration, whose data it learns from.
        shape: (C, H, W) of these.
    """
    levels = max(1, int(math.log2(min(shape[1:]) / 2)) + 1)
    while levels > 1 and any(side % 2 ** (levels - 1) for side in shape[1:]):
        levels -= 1
    channels = [_WIDTHS[min(level, len(_WIDTHS) - 1)] for level in range(levels)]
    return config.from_mapping(
        {
            "data": {**settings.data.model_dump(), "latent": None},
            "network": {"kind": "autoencoder", "channels": channels, **_VAE},
            "objective": {"kl_weight": 2 * _SPREAD**2},
            "optimizer": {"learning_rate": 2e-3, "weight_decay": 0.0, "warmup_images": 2_000},
            "ema": {"half_life": 5_000},
            "training": {"batch_size": 64, "device": settings.training.device, "samples_every": 0},
        }
    )


def _judged(shop: Workshop, made: _Made) -> _Found:
    started = time.perf_counter()
    images = to_uint8(made.draw(shop.real.n))
    seconds = time.perf_counter() - started
    samples = Stored(ImageSet(images, name="samples"))
    return _Found(
        judgement=judged(samples, shop.real, name=shop.images.name),
        seconds=seconds / shop.real.n,
        parameters=made.parameters,
    )


def _row(name: str, found: _Found, made: _Made) -> Trial:
    classes = [of for of in found.judgement.classes if of.coverage is not None and of.real_n]
    covered = sum((of.coverage or 0.0) * of.real_n for of in classes) / max(1, sum(of.real_n for of in classes))
    more = {
        "coverage": covered,
        "parameters": made.parameters,
        "train_seconds": made.train_seconds,
        "seconds": found.seconds,
    }
    values = {
        "distance": found.judgement.values["distance"],
        **{key: Value(value=it) for key, it in more.items()},
    }
    return Trial(name=name, values=values, protocol=found.protocol)


def _with_spread(row: Trial, each: Sequence[Trial]) -> Trial:
    """Returns the mean of trainings with how far they lie apart, beside their mean: what stability is."""
    distances = [trial.values["distance"].value for trial in each]
    spread = Value(value=stdev(distances) / mean(distances))
    parameters = each[0].values["parameters"]  # the same in all, of which there is no doubt
    return row.model_copy(update={"values": {**row.values, "parameters": parameters, "spread": spread}})
