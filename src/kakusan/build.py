"""From a configuration to the things it names, and from a schedule object back to its configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

import torch
from torch import Tensor, nn

from kakusan import config as run_config
from kakusan import schedules, seeds
from kakusan.codec import Codec
from kakusan.config import models as config
from kakusan.denoiser import Denoiser
from kakusan.devices import resolve
from kakusan.errors import KakusanError
from kakusan.matcher import Matcher
from kakusan.model import Model
from kakusan.networks import CLIP, Autoencoder, Captioned, ImageEncoder, SimpleUNet, TextEncoder, UNet
from kakusan.networks.sizes import check_images
from kakusan.objective import TimeSampling
from kakusan.parametrization import X0, EDMPreconditioning, Epsilon, Flow, Parametrization, V
from kakusan.perception import Lpips
from kakusan.runs import Run, WeightsFrom, worn_by
from kakusan.schedules import Chain, Schedule
from kakusan.tensors import load_weights
from kakusan.words import Words

# What a kind makes; its arguments are called what the fields of its section are.
_SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "linear": schedules.linear,
    "quadratic": schedules.quadratic,
    "cosine": schedules.cosine,
    "betas": Chain,
    "edm": schedules.EDM,
    "rectified_flow": schedules.RectifiedFlow,
}
_PARAMETRIZATIONS: dict[str, Callable[..., Parametrization]] = {
    "epsilon": Epsilon,
    "x0": X0,
    "v": V,
    "flow": Flow,
    "edm": EDMPreconditioning,
}


Learner = Model | Codec | Matcher
"""What can be trained."""
T = TypeVar("T", Codec, Matcher)
# By what a run is known that trained one, what that is called, and a preset that trains it.
_OTHERS: Mapping[type, tuple[type, str, str]] = {
    Codec: (config.Autoencoder, "autoencoder", "digits-autoencoder"),
    Matcher: (config.CLIP, "CLIP", "shapes-clip"),
}


def model(
    settings: config.Config,
    shape: tuple[int, int, int],
    class_names: tuple[str, ...] = (),
    network: nn.Module | None = None,
    codec: Codec | None = None,
    words: Words | None = None,
) -> Model:
    """Returns an untrained model, its weights drawn from the run's seed.

    Args:
        settings: Network, schedule and parametrization.
        shape: (C, H, W) of the pictures.
        class_names: The classes that condition it; empty for none.
        network: A network of the user's own, taken as it is.
        codec: In whose latents it works; None for pixels.
        words: The vocabulary of the captions that condition it; None for none.

    Raises:
        KakusanError: Network, schedule and parametrization do not go together, or the network cannot take the shape.
    """
    if network is None:
        factor = 1 if codec is None else codec.network.factor
        network = _network(settings, shape if codec is None else codec.latent_shape, len(class_names), factor, words)
    else:
        require_network(network)
        _require_arguments(network, bool(class_names))
    denoiser = Denoiser(network, schedule(settings.schedule), parametrization(settings.parametrization))
    return Model(denoiser, shape, class_names, settings.sampling, codec, words)


def autoencoder(settings: config.Config, shape: tuple[int, int, int]) -> Codec:
    """Returns an untrained autoencoder, its weights drawn from the run's seed.

    Args:
        settings: Its network.
        shape: (C, H, W) of the pictures.

    Raises:
        KakusanError: The network cannot take the shape.
    """
    assert isinstance(settings.network, config.Autoencoder), "asked for by whoever knows"
    fields = settings.network.model_dump(exclude={"kind", "init"})
    with _drawn_from(settings.training.seed):
        return Codec(Autoencoder(shape[0], **fields), shape)


def matcher(settings: config.Config, shape: tuple[int, int, int], words: Words) -> Matcher:
    """Returns an untrained CLIP, its weights drawn from the run's seed.

    Args:
        settings: Its network.
        shape: (C, H, W) of the pictures.
        words: The vocabulary of their captions.

    Raises:
        KakusanError: The network cannot take the shape.
    """
    how = settings.network
    assert isinstance(how, config.CLIP), "asked for by whoever knows"
    channels, height, width = shape
    if height != width:
        raise KakusanError(f"a CLIP sees square pictures, not {width}×{height} (--data.size N makes them square)")
    seeing = {"width": how.image_width, "layers": how.image_layers, "heads": how.image_heads, "patch": how.patch}
    with _drawn_from(settings.training.seed):
        text = _text(settings, words)
        return Matcher(CLIP(text, ImageEncoder(channels, size=height, **seeing), how.width), shape, words)


def learner(
    settings: config.Config,
    shape: tuple[int, int, int],
    class_names: tuple[str, ...] = (),
    network: nn.Module | None = None,
    codec: Codec | None = None,
    words: Words | None = None,
) -> Learner:
    """Returns what a configuration trains, before it has learned anything: a model, an autoencoder, or a CLIP.

    Args and errors are those of :func:`model`, :func:`autoencoder` and :func:`matcher`.
    """
    if isinstance(settings.network, config.Autoencoder):
        return autoencoder(settings, shape)
    if isinstance(settings.network, config.CLIP):
        assert words is not None, "fed with captions only"
        return matcher(settings, shape, words)
    return model(settings, shape, class_names, network, codec, words)


def restored(
    run: Run,
    network: nn.Module | None = None,
    checkpoint: int | None = None,
    weights_from: WeightsFrom = "ema",
    codec: Codec | None = None,
) -> Learner:
    """Returns what a run trained, with the weights of a checkpoint, on the CPU; its ``source`` says which these are.

    Args:
        run: The run.
        network: The network, where the run trained one of the user's own; its weights are replaced.
        checkpoint: Images seen when it was saved; the last one by default.
        weights_from: Averaged weights or plain ones.
        codec: In whose latents it works; None for pixels.

    Raises:
        KakusanError: There is no such checkpoint, or its weights are damaged or do not fit.
    """
    settings = run_config.load(run.config_path)
    if isinstance(settings.network, config.Customised):
        told = worn_by(run.path) or "what it writes at its end"
        raise KakusanError(f"{run.path} taught something to a pipeline: kakusan generate draws with it by {told}")
    chosen = run.checkpoint(checkpoint)
    state = chosen.state()
    try:
        shape, class_names = tuple(state["shape"]), tuple(state["class_names"])
    except (KeyError, TypeError) as error:
        raise KakusanError(
            f"{chosen.path} does not say what its pictures are like (choose another checkpoint)"
        ) from error
    words = Words.read(run.words_path) if settings.reads_text else None
    learned = learner(settings, shape, class_names, network, codec, words)
    path = chosen.weights_path(weights_from)
    load_weights(learned.network, path)
    (learned.denoiser if isinstance(learned, Model) else learned.network).eval()
    return replace(
        learned,
        source=f"{run.name}, {weights_from} weights after {chosen.images} images",
        images=chosen.images,
        weights_from=weights_from,
        weights_hash=sha256(path.read_bytes()).hexdigest(),
    )


def restored_as(kind: type[T], run: Run, checkpoint: int | None = None, weights_from: WeightsFrom = "ema") -> T:
    """Returns what a run trained, an autoencoder or a CLIP, likewise.

    Raises:
        KakusanError: It trained something else, has no such checkpoint, or its weights are damaged.
    """
    section, what, preset = _OTHERS[kind]
    trained = None
    if isinstance(run_config.load(run.config_path).network, section):
        trained = restored(run, None, checkpoint, weights_from)
    if not isinstance(trained, kind):
        raise KakusanError(f"{run.path} trained no {what} (give the run of one: kakusan train {preset} trains it)")
    return trained


def require_network(network: object) -> None:
    """Refuses what cannot be a network of the user's own.

    Raises:
        KakusanError: It is no module.
    """
    if not isinstance(network, nn.Module):
        kind = f"the class {network.__name__}" if isinstance(network, type) else f"a {type(network).__name__}"
        raise KakusanError(f"network must be a torch module, made already, not {kind} (network=MyNetwork())")


def missing(network: config.OwnNetwork) -> KakusanError:
    """Returns the error of a run whose network has to be handed over, and was not."""
    name = network.name
    return KakusanError(
        f"this run trained a network of your own, {name}: hand it over in Python "
        f"(model = kakusan.load(run, network={name}(...)), then kakusan.sample(model) or "
        f"kakusan.evaluate(model, against=...); kakusan.train(resume=run, network={name}(...)), "
        "and data=... if a loader fed it, to go on)"
    )


def schedule(settings: config.Schedule) -> Schedule:
    """Returns the schedule of a configuration."""
    return _SCHEDULES[settings.kind](**settings.model_dump(exclude={"kind"}))


def parametrization(settings: config.Parametrization) -> Parametrization:
    """Returns the parametrization of a configuration."""
    return _PARAMETRIZATIONS[settings.kind](**settings.model_dump(exclude={"kind"}))


def perception(settings: config.Reconstruction, training: config.Training) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Returns how far two images look apart, where that counts for an autoencoder: LPIPS by VGG16.

    Raises:
        KakusanError: Its weights are not at hand; nothing is downloaded in the middle of a training.
    """
    if not settings.perceptual:
        return None
    return Lpips("lpips-vgg", device=resolve(training.device), offline=True, show=False).apart


def times(settings: config.Denoising) -> TimeSampling:
    """Returns which times training visits."""
    lognormal = (settings.lognormal_mean, settings.lognormal_std) if settings.times == "lognormal" else None
    return TimeSampling(settings.stratified, lognormal)


def schedule_settings(of: Schedule) -> dict[str, object]:
    """Returns the section of a configuration from which :func:`schedule` makes an equal schedule again.

    Raises:
        KakusanError: It is of a class of the user's own, which a configuration cannot hold.
    """
    if type(of) is Chain:
        usual = (
            config.BetaChain(kind="linear", steps=of.steps),
            config.BetaChain(kind="quadratic", steps=of.steps),
            config.CosineChain(steps=of.steps),
        )
        for section in usual:
            if schedule(section) == of:
                return section.model_dump()
        return {"kind": "betas", "betas": tuple(of.betas.tolist())}
    return _section(of, _SCHEDULES, "a schedule", "kakusan.schedules, or a Chain of your own betas")


def parametrization_settings(of: Parametrization | str) -> dict[str, object]:
    """Returns the section of a configuration from which :func:`parametrization` makes an equal one again.

    Raises:
        KakusanError: It is of a class of the user's own.
    """
    if isinstance(of, str):
        return {"kind": of}
    return _section(of, _PARAMETRIZATIONS, "a parametrization", "kakusan.parametrization")


def _section(of: object, table: Mapping[str, Callable[..., object]], what: str, ours: str) -> dict[str, object]:
    """Returns the kind and the fields of what an entry of a ``table`` has made."""
    for kind, made in table.items():
        if type(of) is made:  # by the exact class, for one derived from ours may be another
            return {"kind": kind, **vars(of)}
    raise KakusanError(
        f"{what} of the class {type(of).__name__} cannot be written into config.yaml (use one of {ours})"
    )


def _require_arguments(network: nn.Module, conditional: bool) -> None:
    """Refuses a network of the user's own that cannot be called as it will be."""
    given = ("x", "clock", "condition") if conditional else ("x", "clock")
    signature = inspect.signature(network.forward)
    try:
        signature.bind(*given)
    except TypeError as error:
        name, why = type(network).__name__, " (the class names ask for a condition)" if conditional else ""
        raise KakusanError(
            f"{name} is called as network({', '.join(given)}){why}, and its forward takes {signature}: "
            "give forward these arguments"
        ) from error


def _network(
    settings: config.Config, shape: tuple[int, int, int], classes: int, factor: int, words: Words | None
) -> nn.Module:
    with _drawn_from(settings.training.seed):
        match settings.network:
            case config.UNet() as unet:
                check_images(torch.empty(1, *shape, device="meta"), shape[0], 2 ** (len(unet.channels) - 1))
                if words is None:
                    return _unet(unet, shape, classes, factor)
                text = _text(settings, words)
                return Captioned(_unet(unet, shape, classes, factor, text.width), text)
            case config.SimpleUNet() as simple:
                check_images(torch.empty(1, *shape, device="meta"), shape[0], 8)
                return SimpleUNet(shape[0], shape[0], simple.time_emb_dim, simple.base_channels)
            case config.OwnNetwork() as own:
                raise missing(own)
    raise KakusanError(
        f"a network of kind {settings.network.kind} denoises nothing (choose another network.kind, or load its run as "
        "it is)"
    )


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """A context in which weights are drawn from a run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "weights"))
        yield


def _text(settings: config.Config, words: Words) -> TextEncoder:
    how = settings.text.model_dump(exclude={"init", "frozen", "length", "vocabulary"})
    return TextEncoder(len(words), length=words.length, **how).requires_grad_(not settings.text.frozen)


def _unet(
    settings: config.UNet, shape: tuple[int, int, int], classes: int, factor: int, text_width: int | None = None
) -> UNet:
    channels, _, width = shape
    widths = [width // 2**level for level in range(len(settings.channels))]
    resolutions = widths[-1:] if settings.attention_resolutions is None else settings.attention_resolutions
    known = widths
    if not set(resolutions) <= set(widths):  # in latents: those of the same level of a network for the pixels
        known = [width * factor for width in widths]
    for resolution in resolutions:
        if resolution not in known:
            what = f"images {width} pixels wide"
            if factor > 1:
                what = f"latents {width} wide, or {', '.join(map(str, known))} as for their pictures"
            raise KakusanError(
                f"network.attention_resolutions must be among the widths of the feature maps, "
                f"{', '.join(map(str, widths))} for {what}, not {resolution} "
                "(use some of these, [] for nowhere, or null for the lowest)"
            )
    left_out = {"kind", "init", "attention_resolutions", "class_conditional", "text_conditional"}
    fields = settings.model_dump(exclude=left_out)
    levels = [known.index(resolution) for resolution in resolutions]
    return UNet(channels, attention_levels=levels, classes=classes or None, text_width=text_width, **fields)
