"""What is gained by diffusion in latents, and what is lost, beside the same network in pixels: exercise 4.4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from kakusan import config, latents, sampling
from kakusan.codec import Codec
from kakusan.config.names import presets
from kakusan.evaluation.moments import frechet_distance
from kakusan.files import at_home
from kakusan.model import Model
from kakusan.pictures import from_uint8, to_uint8
from kakusan.results import Forecast, Judgement, Value
from kakusan.runs import Run
from kakusan.studies.activations import activations
from kakusan.studies.forecast import forecast
from kakusan.studies.timing import Times, in_turn
from kakusan.studies.workshop import Workshop, train_seconds, trial_of
from kakusan.trials import Experiment, Part, Sentence, Trial

PIXELS, LATENTS = "pixels", "latents"
_PACE = 5.0  # seconds, of which the pace of a training is found
_TIMED = 25  # images
_CHUNK = 64
_MEGA = 1e6


def latent(shop: Workshop) -> Experiment:
    """Trains an autoencoder, then one kind of network in pixels and as long in latents, and compares what they draw."""
    encoder = _autoencoder(shop)
    codec = encoder.codec
    settings = sides(shop.settings, encoder.name, codec)
    pixels = shop.trained(PIXELS, {"training.images": shop.images_to_see}, base=settings[PIXELS])
    costs = {
        name: shop.found(f"pace-{name}", Forecast, partial(forecast, how, name, _PACE, shop.show))
        for name, how in settings.items()
    }
    # As long as the other took, by its pace when nothing disturbed it.
    seconds = train_seconds(pixels).value
    images = max(shop.settings.training.batch_size, round(seconds * costs[LATENTS].images_per_second))
    inside = shop.trained(LATENTS, {"training.images": images}, base=settings[LATENTS])
    runs = {PIXELS: pixels, LATENTS: inside}
    models = {name: shop.load(run) for name, run in runs.items()}
    judged = {name: shop.judged(name, model) for name, model in models.items()}
    times = shop.found("seconds", Times, lambda: _timed(shop, models))
    rows = tuple(_row(name, runs[name], models[name], judged[name], costs[name], times) for name in runs)
    first, second = finding(rows)
    left = shop.found("reconstructed", Trial, lambda: _reconstructed(shop, encoder), shop.of(codec))
    told = {"distance": left.values["distance"].value}
    if encoder.seconds is not None:
        told["encoding"] = encoder.seconds.value
    return shop.experiment(
        (first, second),
        Part("compared", first, rows, pictures={name: shop.pictures(model) for name, model in models.items()}),
        Part("architecture", second, boxes=_boxes(models[LATENTS])),
        Part("autoencoder", Sentence(f"study.latent.{'left' if encoder.seconds else 'given'}", told), (left,)),
        notes=shop.alone,
    )


@dataclass(frozen=True)
class _Encoder:
    """In whose latents a study works.

    Attributes:
        name: What ``data.latent`` calls it.
        codec: It.
        seconds: Time that its training took; None for one that no run trained.
    """

    name: str
    codec: Codec
    seconds: Value | None


def _autoencoder(shop: Workshop) -> _Encoder:
    """Returns the one that the study's configuration names, or one that it trains now."""
    run, name = None, shop.settings.data.latent
    if name is None:
        base = autoencoder_of(shop)
        run = shop.trained("autoencoder", {"training.images": shop.within_budget(base)}, base=base)
        name = str(run.path.resolve())
    elif Run.is_at(at_home(name)):
        run = Run.open(at_home(name))
    data = shop.settings.data.model_copy(update={"latent": name})
    codec = latents.opened(data, shop.images.shape, shop.device)
    assert codec is not None  # the data name one
    return _Encoder(name, codec, train_seconds(run) if run else None)


def autoencoder_of(shop: Workshop) -> config.Config:
    """Returns what an autoencoder for a study's images is trained by: the preset of its kind, or the usual form."""
    data = {**shop.settings.data.model_dump(), "latent": None}
    name = f"{shop.source.partition('-')[0]}-autoencoder"
    if name in presets():
        return config.load(name, {f"data.{field}": value for field, value in data.items()})
    return config.from_mapping({"data": data, "network": {"kind": "autoencoder"}, "training": {"batch_size": 64}})


def sides(settings: config.Config, name: str, codec: Codec) -> dict[str, config.Config]:
    """Returns what the same network learns by in pixels and in latents: attention stays at the levels where it is.

    Args:
        settings: For either of them; in latents where they name an autoencoder.
        name: What ``data.latent`` calls that of the study.
        codec: It.
    """
    places: dict[str, dict[str, Any]] = {PIXELS: {"data.latent": None}, LATENTS: {"data.latent": name}}
    widths = getattr(settings.network, "attention_resolutions", None)
    if widths:
        factor, inside = codec.network.factor, settings.data.latent is not None
        pixels = [width * factor for width in widths] if inside else widths
        within = widths if inside else [max(1, width // factor) for width in widths]
        places[PIXELS]["network.attention_resolutions"] = pixels
        places[LATENTS]["network.attention_resolutions"] = within
    return {side: config.changed(settings, changes) for side, changes in places.items()}


def finding(rows: Sequence[Trial]) -> tuple[Sentence, Sentence]:
    """Says which comes nearer to real images in the same time, if doubt allows, and what latents save.

    Args:
        rows: Of pixels and of latents.
    """
    pixels, inside = (row.values for row in rows)
    apart = pixels["distance"].beyond(inside["distance"])
    nearer = inside["distance"].value < pixels["distance"].value
    key = "alike" if not apart else "nearer" if nearer else "farther"
    told = {"pixels": pixels["distance"].value, "latents": inside["distance"].value}
    saved = {
        name: pixels[quantity].value / inside[quantity].value
        for name, quantity in (("numbers", "numbers"), ("operations", "operations"), ("times", "seconds"))
    }
    saved["images"] = inside["images"].value / pixels["images"].value
    return Sentence(f"study.latent.{key}", told), Sentence("study.latent.saved", saved)


def _row(name: str, run: Run, model: Model, judged: Judgement, cost: Forecast, times: Times) -> Trial:
    more = {
        "numbers": math.prod(model.latent_shape),
        "parameters": model.parameters,
        "operations": cost.flop_per_image / _MEGA,
        "memory": activations(model.network, model.latent_shape) / _MEGA,
        "images": model.images,
        "seconds": times.seconds[name],
    }
    values = {key: Value(value=it) for key, it in more.items()}
    tried = trial_of(name, judged, train_seconds=train_seconds(run), **values)
    tried = tried.model_copy(update={"values": {key: it for key, it in tried.values.items() if key != "score"}})
    return tried.model_copy(update={"protocol": {**tried.protocol, "seconds": times.protocol}})


def _timed(shop: Workshop, models: dict[str, Model]) -> Times:
    plans = {name: sampling.plan(model, n=_TIMED, settings=model.sampling) for name, model in models.items()}
    return in_turn(plans, models[LATENTS].weights_hash, shop.show)


def _reconstructed(shop: Workshop, encoder: _Encoder) -> Trial:
    """Returns how far real images lie from others once they went through latents: no model of these draws nearer."""
    codec = encoder.codec
    real, (half, other) = shop.real, shop.real.halves[0]
    parts = torch.split(other, _CHUNK)
    found = [codec.reconstruct(from_uint8(shop.images.images[part])).cpu() for part in parts]
    features = torch.cat([real.eye.see(to_uint8(part))[0] for part in found])
    distance = frechet_distance(features, real.features[half])
    values = {
        "distance": Value(value=distance, real=real.noise_floor[0]),
        "parameters": Value(value=codec.parameters),
    }
    if encoder.seconds is not None:
        values["train_seconds"] = encoder.seconds
    protocol = {
        "n": len(other),
        "reference": shop.images.name,
        "reference_hash": real.digest,
        "features": real.eye.name,
        "splits": 1,
        "weights_hash": codec.weights_hash,
    }
    return Trial(name="reconstructed", values=values, protocol=protocol)


def _boxes(model: Model) -> tuple[tuple[str, str], ...]:
    image, inside = ("×".join(map(str, shape)) for shape in (model.shape, model.latent_shape))
    return (
        ("image", image),
        ("encoder", ""),
        ("latents", inside),
        ("denoiser", "steps"),
        ("decoder", ""),
        ("image", image),
    )
