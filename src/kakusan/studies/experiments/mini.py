"""A whole Stable Diffusion, small enough for a laptop: each of its parts trained and shown at work; section 4.5.4."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kakusan import api, config, feeding, sampling
from kakusan.codec import Codec
from kakusan.config.names import CLIP_SCALE, HUB, SOURCES, presets
from kakusan.data import prepare
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.evaluation.captions import captioned, require_captions
from kakusan.evaluation.prompts import CELLS, asked_for, measure_prompts, measure_shown
from kakusan.files import at_home
from kakusan.matcher import Matcher
from kakusan.model import Model
from kakusan.pictures import from_uint8, to_uint8
from kakusan.results import Measurement, Record, Value
from kakusan.results.quantities import PIECES
from kakusan.runs import Run
from kakusan.shapes import Scene, draw, parse, read, verify
from kakusan.studies.shipping import ship
from kakusan.studies.workshop import Workshop, train_seconds
from kakusan.trials import Experiment, Part, Sentence, Trial

SCALES = (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0)
"""Of guidance, from the plainly conditional one."""
LED = {"sampler": "ddim", "guidance": 1.0, "eta": 1.0, "steps": 100}
"""How a CLIP leads: in small steps, with noise on the way. Without, a walk keeps to what its first steps have settled,
in which there is nothing for a CLIP to see yet."""
PIPELINE = "pipeline"
"""Where in the study's directory what it trained lies, as diffusers loads it."""
_ONE = 0  # the number of scenes of one thing, of a kind that is learned from
_N, _SWEPT = 500, 100  # prompts of a kind, and of one at each scale
_AMONG = 256  # captions, of which a picture's own is to be found
_TRIED = 64  # pictures, among which are some that are not as asked
_FRESH = 1  # seed of prompts that have chosen nothing
_SHOWN = 8
_DEVIATIONS = 3  # of latents, which are black and white
_OTHER_WAY: Mapping[str, str] = {
    **{"above": "below", "over": "under", "left": "right"},
    **{"below": "above", "under": "over", "right": "left"},
}


class Rows(Record):
    """What was measured of something, a row each.

    Attributes:
        trials: The rows.
        protocol: Of which weights.
    """

    trials: tuple[Trial, ...]
    protocol: dict[str, Any]


@dataclass(frozen=True)
class _World:
    """The scenes that are asked for: numbers of their kinds, and whether a single thing stands in the middle."""

    kinds: tuple[int, ...]
    middle: bool

    @property
    def plain(self) -> list[int]:
        """The kinds that are learned from, one thing first."""
        return [number for number in self.kinds if CELLS[number][0] == "trained"]

    def asked_for(self, number: int, n: int) -> tuple[list[Scene], list[str]]:
        """Returns scenes of a kind, and their captions."""
        return asked_for(number, n, middle=self.middle)


@dataclass(frozen=True)
class _Trained:
    """The three parts, each with its run."""

    runs: dict[str, Run]
    codec: Codec
    matcher: Matcher
    model: Model


def mini(shop: Workshop) -> Experiment:
    """Trains an autoencoder, a CLIP, and a denoiser of latents that reads, and asks each for what it is good at."""
    if not shop.settings.reads_text or shop.settings.network.kind == "clip":
        raise KakusanError("this study trains a denoiser that reads captions (choose --preset shapes-text)")
    source, n = _kept(shop), shop.settings.evaluation.n or _N
    kinds = kinds_of(feeding.images(shop.settings.data.model_copy(update={"source": source}), shop.show))
    world = _World(kinds, middle=shop.settings.data.source == "shapes-single")
    trained = _trained(shop, source)
    model, plain = trained.model, world.plain
    ceiling = _rows(shop, "ceiling", trained.codec, lambda: _ceiling(trained.codec, world, n))
    found = _rows(shop, "retrieval", trained.matcher, lambda: _retrieval(trained.matcher, world))
    sweep = _rows(shop, "sweep", model, lambda: _sweep(model, plain, min(n, _SWEPT), shop.show))
    swept = tuple(map(_metric, plain))
    best = max(sweep, key=lambda it: sum(it.values[name].value for name in swept)).values["guidance"].value
    drawn = _rows(shop, "drawn", model, lambda: _drawn(model, kinds, n, best, shop.show))
    (plainly,) = _rows(shop, "plainly", model, lambda: _drawn(model, plain[-1:], n, 1.0, shop.show))
    after = next(it for it in drawn if it.name == plainly.name)
    guided = _guided(best, plainly.values["prompts"], after.values["prompts"])
    find = partial(_led, model, trained.matcher, n, shop.show)
    led = _rows(shop, "led", model, find, clip=trained.matcher.weights_hash)
    parts = tuple(_parts(trained))
    told = "; ".join(
        f"the {it.name} on {it.values['images'].value:,.0f} images in {it.values['train_seconds'].value / 60:.0f} min"
        for it in parts
    )
    ship(shop, trained.runs, shop.path / PIPELINE, drawn, ceiling, best, told)
    first = _obeyed(drawn, n)
    return shop.experiment(
        (first, guided),
        Part("trained", Sentence("study.mini.took", {}), parts),
        Part("reconstructed", _left(ceiling), ceiling, pictures=_reconstructed(trained.codec, world)),
        Part("retrieved", _retrieved(found), found),
        Part("latents", Sentence("study.mini.inside", {}), pictures=_latents(trained.codec, world)),
        Part("drawn", first, drawn, pictures=_samples(model, kinds, best)),
        Part("guided", guided, sweep, swept, "guidance", growing=True),
        Part("led", _led_to(led), led),
        Part("failures", Sentence("study.mini.failed", {}), pictures=_failures(model, plain[-1], best)),
        notes=(Sentence("study.mini.alone"),),
    )


def part_of(shop: Workshop, kind: str, source: str) -> config.Config:
    """Returns what one of the other parts is trained by: the preset of its kind that goes with the study's.

    Args:
        shop: The study.
        kind: ``autoencoder`` or ``clip``.
        source: Where its images are.
    """
    names = [f"{shop.source.rpartition('-')[0]}-{kind}", f"shapes-{kind}"]
    name = next(it for it in names if it in presets())
    data = {**shop.settings.data.model_dump(), "source": source, "latent": None}
    return config.load(name, {f"data.{field}": value for field, value in data.items()})


def _trained(shop: Workshop, source: str) -> _Trained:
    runs = {}
    for kind in ("autoencoder", "clip"):
        base = part_of(shop, kind, source)
        runs[kind] = shop.trained(kind, {"training.images": shop.within_budget(base)}, base=base)
    latent = str(runs["autoencoder"].path.resolve())
    changes = {"data.source": source, "data.latent": latent, "training.images": shop.images_to_see}
    init = shop.settings.text.init
    if init is not None and not init.startswith(HUB) and not at_home(init).exists():  # the preset's, not the user's
        changes["text.init"] = str(runs["clip"].path.resolve())
    runs["denoiser"] = shop.trained("denoiser", base=config.changed(shop.settings, changes))
    model = shop.load(runs["denoiser"])
    assert model.codec is not None, "of latents"
    return _Trained(runs, model.codec, api.load_clip(runs["clip"], device=shop.device), model)


def _kept(shop: Workshop) -> str:
    """Returns where the images are: such as are drawn are drawn once for all trainings."""
    data = shop.settings.data
    if data.source not in SOURCES:
        return data.source
    path = shop.path / "images.safetensors"
    if not path.exists():
        prepare(data.source, path, size=data.size, channels=data.channels, show=shop.show)
    return str(path.resolve())


def _rows(
    shop: Workshop, name: str, of: Model | Codec | Matcher, find: Callable[[], Sequence[Trial]], **more: str
) -> tuple[Trial, ...]:
    """Returns rows that were found once of these weights, and of ``more``."""
    protocol = {"weights_hash": of.weights_hash, **more}
    found = shop.found(
        name, Rows, lambda: Rows(trials=tuple(find()), protocol=protocol), lambda rows: rows.protocol == protocol
    )
    return found.trials


def _parts(trained: _Trained) -> list[Trial]:
    rows = []
    parameters = (trained.codec.parameters, trained.matcher.parameters, trained.model.parameters)
    for (name, run), count in zip(trained.runs.items(), parameters, strict=True):
        counts = {"parameters": count, "images": run.checkpoint().images}
        values = {key: Value(value=it) for key, it in counts.items()}
        rows.append(Trial(name=name, values={**values, "train_seconds": train_seconds(run)}))
    return rows


def _metric(number: int) -> str:
    kind, things = CELLS[number]
    return f"prompts-{kind}-{things}"


def row_of(found: Measurement) -> Trial:
    """Returns a kind of scenes: the share that is as asked, and of every piece."""
    pieces = {name: Value(value=found.protocol[name]) for name in PIECES if name in found.protocol}
    share = Value(value=found.value, interval=found.interval)
    return Trial(
        name=found.metric.removeprefix("prompts-"),
        values={"prompts": share, **pieces},
        protocol={name: it for name, it in found.protocol.items() if name not in PIECES},
    )


def kinds_of(images: ImageSet) -> tuple[int, ...]:
    """Returns the numbers of those kinds of scenes that have no more things than the captions of images.

    Raises:
        KakusanError: They have none, or these are no captions of scenes.
    """
    require_captions(images, "this study")
    most = max(len(parse(images.captions[place]).things) for place in captioned(images))
    return tuple(number for number, (_, things) in enumerate(CELLS) if things <= most)


def _obeyed(drawn: Sequence[Trial], n: int) -> Sentence:
    one, two = (next((it for it in drawn if it.name == f"trained-{things}"), None) for things in (1, 2))
    assert one is not None, "every kind of scenes has one thing"
    told = {"n": n, "one": one.values["prompts"].value}
    if two is None:
        return Sentence("study.mini.obeys_one", told)
    return Sentence("study.mini.obeys", {**told, "two": two.values["prompts"].value})


def _ceiling(codec: Codec, world: _World, n: int) -> list[Trial]:
    def show(pictures: Tensor) -> Tensor:
        return to_uint8(codec.reconstruct(from_uint8(pictures))).cpu()

    protocol = {"weights_hash": codec.weights_hash}
    found = measure_shown(show, codec.shape[1], n=n, kinds=world.kinds, middle=world.middle, protocol=protocol)
    return [row_of(it) for it in found]


def _retrieval(matcher: Matcher, world: _World) -> list[Trial]:
    """Returns how often the one among many captions that agrees best with a picture is true of it, its own or another;
    and how often its own agrees better than the one that puts its two things the other way around."""
    rows = []
    for number in world.plain:
        scenes, captions = world.asked_for(number, _AMONG)
        pictures = torch.stack([draw(it, matcher.shape[1]) for it in scenes])
        images = from_uint8(pictures)
        with torch.no_grad():
            nearest = matcher.similarity(images, captions).argmax(1).tolist()
            own, turned = (matcher.agreement(images, it) for it in (captions, list(map(_turned, captions))))
        right = sum(verify(picture, captions[it]).accepted for picture, it in zip(pictures, nearest, strict=True))
        values = {"retrieved": Value.of_share(right / _AMONG, _AMONG)}
        if CELLS[number][1] == 2:
            values["direction"] = Value.of_share((own > turned).float().mean().item(), _AMONG)
        protocol = {"n": _AMONG, "weights_hash": matcher.weights_hash}
        rows.append(Trial(name=_metric(number).removeprefix("prompts-"), values=values, protocol=protocol))
    return rows


def _turned(caption: str) -> str:
    """Returns a caption with its two things the other way around."""
    return re.sub(rf"\b({'|'.join(_OTHER_WAY)})\b", lambda found: _OTHER_WAY[found[0]], caption)


def _sweep(model: Model, kinds: Sequence[int], n: int, show: bool) -> list[Trial]:
    rows = []
    for scale in SCALES:
        how = sampling.settings(model.sampling, guidance=scale)
        found = measure_prompts(model, how, n=n, kinds=kinds, show=show)
        values = {it.metric: Value(value=it.value, interval=it.interval) for it in found}
        rows.append(Trial(name=f"w = {scale:g}", values={"guidance": Value(value=scale), **values}))
    return rows


def _drawn(model: Model, kinds: Sequence[int], n: int, scale: float, show: bool) -> list[Trial]:
    """Returns how many prompts are obeyed, none of which had a say in what scale is the best."""
    how = sampling.settings(model.sampling, guidance=scale)
    return [row_of(it) for it in measure_prompts(model, how, n=n, seed=_FRESH, kinds=kinds, show=show)]


def _led(model: Model, matcher: Matcher, n: int, show: bool) -> list[Trial]:
    """Returns what becomes of a model that is told nothing, and of one that a CLIP leads at its usual scale."""
    rows = []
    for scale in (0.0, CLIP_SCALE):
        how = sampling.settings(model.sampling, **LED)
        lead = partial(_lead, matcher, scale)
        (found,) = measure_prompts(model, how, n=n, kinds=(_ONE,), lead=lead, show=show)
        values = {"scale": Value(value=scale), found.metric: Value(value=found.value, interval=found.interval)}
        rows.append(Trial(name=f"s = {scale:g}", values=values))
    return rows


def _lead(matcher: Matcher, scale: float, captions: Sequence[str]) -> sampling.Led:
    return sampling.Led(matcher, captions, scale)


def _led_to(led: Sequence[Trial]) -> Sentence:
    without, with_it = (it.values[_metric(_ONE)] for it in led)
    return raised("led", CLIP_SCALE, without, with_it)


def _guided(best: float, before: Value, after: Value) -> Sentence:
    if best == 1:
        return Sentence("study.mini.unguided", {"before": before.value})
    return raised("guided", best, before, after)


def raised(key: str, scale: float, before: Value, after: Value) -> Sentence:
    """Says what a scale of guidance makes of the share that is obeyed without it, as far as doubt allows.

    Args:
        key: The sentence, of which one says that it is raised, and one that it is not.
        scale: The scale.
        before, after: The shares.
    """
    told = {"best": f"{scale:g}", "before": before.value, "after": after.value}
    return Sentence(f"study.mini.{key}{'' if after.beyond(before) else '_alike'}", told)


def _left(ceiling: Sequence[Trial]) -> Sentence:
    least = min(ceiling, key=lambda trial: trial.values["prompts"].value)
    return Sentence("study.mini.left", {"least": least.values["prompts"].value})


def _retrieved(found: Sequence[Trial]) -> Sentence:
    one, *two = found
    told = {"n": _AMONG, "one": one.values["retrieved"].value}
    if not two:
        return Sentence("study.mini.found_one", told)
    values = two[0].values
    return Sentence(
        "study.mini.found", {**told, "two": values["retrieved"].value, "direction": values["direction"].value}
    )


def _examples(codec: Codec, world: _World) -> Tensor:
    """Returns a few real pictures, of every kind of scenes in turn."""
    kinds = world.kinds
    scenes = [world.asked_for(kinds[place % len(kinds)], _SHOWN)[0][place] for place in range(_SHOWN)]
    return from_uint8(torch.stack([draw(it, codec.shape[1]) for it in scenes]))


def _reconstructed(codec: Codec, world: _World) -> dict[str, Tensor]:
    real = _examples(codec, world)
    return {"real": real, "reconstructed": codec.reconstruct(real).cpu().clamp(-1, 1)}


def _latents(codec: Codec, world: _World) -> dict[str, Tensor]:
    """Returns pictures, and every channel of their latents as a grey one; their deviation is 1 by design."""
    real = _examples(codec, world)
    inside = codec.encode(real).mean.cpu().div(_DEVIATIONS).clamp(-1, 1)
    factor = codec.network.factor
    grey = inside.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    return {"real": real, **{f"{place + 1}": grey[:, [place] * 3] for place in range(grey.shape[1])}}


def _samples(model: Model, kinds: Sequence[int], scale: float) -> dict[str, Tensor]:
    """Returns a row of samples a prompt."""
    prompts = [text for number in kinds for text in asked_for(number, 2)[1]]
    found = api.sample(
        model,
        n=len(prompts) * _SHOWN,
        prompt=[text for text in prompts for _ in range(_SHOWN)],
        guidance_scale=scale,
        show=False,
    )
    return dict(zip(prompts, torch.split(found.cpu(), _SHOWN), strict=True))


def _failures(model: Model, number: int, scale: float) -> dict[str, Tensor]:
    """Returns pictures that are not as asked, by what was asked and what is there instead."""
    _, captions = asked_for(number, _TRIED)
    found = api.sample(model, n=_TRIED, prompt=captions, guidance_scale=scale, show=False).cpu()
    rows: dict[str, Tensor] = {}
    for caption, image, picture in zip(captions, to_uint8(found), found, strict=True):
        if not verify(image, caption).accepted and len(rows) < _SHOWN:
            rows[f"{caption} → {_told(read(image))}"] = picture[None]
    return rows


def _told(scene: Scene) -> str:
    """Returns what is there, as the verifier sees it."""
    things = ", ".join(f"{it.size} {it.colour} {it.shape}" for it in scene.things)
    return f"{things or '∅'} ({scene.background})"
