"""From a configuration to the things it names, and from a schedule object back to its configuration."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from kakusan import schedules, seeds
from kakusan.config import models as config
from kakusan.data import sources
from kakusan.data.batches import Batches, ImageBatches, LoaderBatches
from kakusan.data.images import ImageSet
from kakusan.data.remarks import remarks_on, remarks_on_range
from kakusan.denoiser import Denoiser
from kakusan.errors import KakusanError
from kakusan.model import Model
from kakusan.networks import SimpleUNet, UNet
from kakusan.networks.sizes import check_images
from kakusan.objective import TimeSampling
from kakusan.parametrization import X0, EDMPreconditioning, Epsilon, Flow, Parametrization, V
from kakusan.schedules import Chain, RectifiedFlow, Schedule

_PLAIN_PARAMETRIZATIONS: dict[str, type[Parametrization]] = {"epsilon": Epsilon, "x0": X0, "v": V, "flow": Flow}
_BETA_CHAINS = {"linear": schedules.linear, "quadratic": schedules.quadratic}


def images(settings: config.Data) -> ImageSet:
    """Loads the images of a configuration.

    Raises:
        KakusanError: There are none, or too many of them are broken.
    """
    return sources.load(settings.source, size=settings.size, channels=settings.channels, max_broken=settings.max_broken)


def batches(
    settings: config.Config, data: object, network: nn.Module | None, class_names: Sequence[str]
) -> tuple[Batches, tuple[str, ...], list[str]]:
    """Returns where batches come from, the classes that condition the network, and what is to be said of the images.

    Args:
        settings: Data and network.
        data: A source by name or path, an :class:`ImageSet`, or any iterable of batches; None is that of the settings.
        network: A network of the user's own.
        class_names: The classes, where the data do not name them.

    Raises:
        KakusanError: The data cannot be read, or have no labels where the network needs them; or the network itself is
            wanting.
    """
    if network is None and isinstance(settings.network, config.OwnNetwork):
        raise _missing(settings.network)
    remarks: list[str] = []
    if data is None or isinstance(data, (str, Path)):
        data = images(settings.data)
    if isinstance(data, ImageSet):
        source: Batches = ImageBatches(data, settings.data.flip)
        labelled, named, remarks = data.labels is not None, data.class_names, remarks_on(data)
    elif isinstance(data, Tensor):
        raise KakusanError(
            f"a tensor of shape {tuple(data.shape)} is no loader of batches: wrap it "
            "(torch.utils.data.DataLoader(images, batch_size=128, shuffle=True))"
        )
    elif isinstance(data, Iterable):
        source = loader = LoaderBatches(data)
        labelled, named = loader.labelled, tuple(getattr(getattr(data, "dataset", None), "classes", ()))
        remarks = remarks_on_range(loader.lowest, loader.highest)
    else:
        raise KakusanError(f"data must be a source, an ImageSet or a data loader, not a {type(data).__name__}")

    named = tuple(class_names) or tuple(map(str, named))
    if isinstance(settings.network, config.UNet):
        wanted = settings.network.class_conditional
    else:
        wanted = network is not None and (bool(class_names) or (labelled and _takes_condition(network)))
    if not wanted:
        if len(named) > 1 and isinstance(settings.network, config.UNet):
            remarks = [
                *remarks,
                f"the {len(named)} classes of the images are not used: the network learns them all as one "
                "(network.class_conditional: true tells them apart)",
            ]
        return source, (), remarks
    if not labelled or not named:
        lack = "has no labels" if not labelled else "does not name its classes"
        raise KakusanError(
            f"a network conditioned on classes needs labelled data, and {settings.data.source} {lack} "
            "(put each class into a folder of its own, give class_names, or set network.class_conditional to false)"
        )
    if isinstance(source, LoaderBatches):
        source.expect(len(named))
    return source, named, remarks


def model(
    settings: config.Config,
    shape: tuple[int, int, int],
    class_names: tuple[str, ...] = (),
    network: nn.Module | None = None,
) -> Model:
    """Returns an untrained model, its weights drawn from the run's seed.

    Args:
        settings: Network, schedule and parametrization.
        shape: (C, H, W) of the pictures.
        class_names: The classes that condition it; empty for none.
        network: A network of the user's own, taken as it is.

    Raises:
        KakusanError: Network, schedule and parametrization do not go together, or the network cannot take the shape.
    """
    if network is None:
        network = _network(settings, shape, len(class_names))
    denoiser = Denoiser(network, schedule(settings.schedule), parametrization(settings.parametrization))
    return Model(denoiser, shape, class_names, sampling=settings.sampling)


def schedule(settings: config.Schedule) -> Schedule:
    """Returns the schedule of a configuration."""
    match settings:
        case config.EDMSchedule():
            return schedules.EDM(settings.sigma_max)
        case config.FlowSchedule():
            return RectifiedFlow()
    return _chain(settings)


def parametrization(settings: config.Parametrization) -> Parametrization:
    """Returns the parametrization of a configuration."""
    if isinstance(settings, config.EDMParametrization):
        return EDMPreconditioning(settings.sigma_data)
    return _PLAIN_PARAMETRIZATIONS[settings.kind]()


def times(settings: config.Objective) -> TimeSampling:
    """Returns which times training visits."""
    lognormal = (settings.lognormal_mean, settings.lognormal_std) if settings.times == "lognormal" else None
    return TimeSampling(settings.stratified, lognormal)


def schedule_settings(schedule: Schedule) -> dict[str, object]:
    """Returns the section of a configuration from which :func:`schedule` makes an equal schedule again.

    Raises:
        KakusanError: It is of a class of the user's own, which a configuration cannot hold.
    """
    # By the exact class, for one derived from ours may be another schedule.
    if type(schedule) is Chain:
        for usual in _usual_chains(schedule.steps):
            if torch.equal(_chain(usual).betas, schedule.betas):
                return usual.model_dump()
        return {"kind": "betas", "betas": tuple(schedule.betas.tolist())}
    if type(schedule) is schedules.EDM:
        return {"kind": "edm", "sigma_max": schedule.sigma_max}
    if type(schedule) is RectifiedFlow:
        return {"kind": "rectified_flow"}
    raise KakusanError(
        f"a schedule of the class {type(schedule).__name__} cannot be written into config.yaml "
        "(use one of kakusan.schedules, or a Chain of your own betas)"
    )


def parametrization_settings(parametrization: Parametrization | str) -> dict[str, object]:
    """Returns the section of a configuration from which :func:`parametrization` makes an equal one again.

    Raises:
        KakusanError: It is of a class of the user's own.
    """
    if isinstance(parametrization, str):
        return {"kind": parametrization}
    if type(parametrization) is EDMPreconditioning:
        return {"kind": "edm", "sigma_data": parametrization.sigma_data}
    for kind, plain in _PLAIN_PARAMETRIZATIONS.items():
        if type(parametrization) is plain:
            return {"kind": kind}
    raise KakusanError(
        f"a parametrization of the class {type(parametrization).__name__} cannot be written into config.yaml "
        "(use one of kakusan.parametrization)"
    )


def _chain(settings: config.BetaChain | config.CosineChain | config.OwnChain) -> Chain:
    match settings:
        case config.BetaChain():
            return _BETA_CHAINS[settings.kind](settings.steps, settings.beta_start, settings.beta_end)
        case config.CosineChain():
            return schedules.cosine(settings.steps, settings.s)
    return Chain(torch.tensor(settings.betas, dtype=torch.float64))


def _usual_chains(steps: int) -> list[config.BetaChain | config.CosineChain]:
    kinds: tuple[Literal["linear", "quadratic"], ...] = ("linear", "quadratic")
    return [*(config.BetaChain(kind=kind, steps=steps) for kind in kinds), config.CosineChain(steps=steps)]


def _takes_condition(network: nn.Module) -> bool:
    kinds = [parameter.kind for parameter in inspect.signature(network.forward).parameters.values()]
    positional = sum(
        kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds
    )
    return positional >= 3


def _network(settings: config.Config, shape: tuple[int, int, int], classes: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(settings.training.seed, "weights"))
        match settings.network:
            case config.UNet() as unet:
                check_images(torch.empty(1, *shape, device="meta"), shape[0], 2 ** (len(unet.channels) - 1))
                return _unet(unet, shape, classes)
            case config.SimpleUNet() as simple:
                check_images(torch.empty(1, *shape, device="meta"), shape[0], 8)
                return SimpleUNet(shape[0], shape[0], simple.time_emb_dim, simple.base_channels)
    raise _missing(settings.network)


def _missing(network: config.OwnNetwork) -> KakusanError:
    name = network.name
    return KakusanError(
        f"this run trained a network of your own, {name}: hand it over in Python "
        f"(model = kakusan.load(run, network={name}(...)), then kakusan.sample(model) or "
        f"kakusan.evaluate(model, against=...); kakusan.train(resume=run, network={name}(...)) to go on)"
    )


def _unet(settings: config.UNet, shape: tuple[int, int, int], classes: int) -> UNet:
    channels, _, width = shape
    widths = [width // 2**level for level in range(len(settings.channels))]
    resolutions = widths[-1:] if settings.attention_resolutions is None else settings.attention_resolutions
    for resolution in resolutions:
        if resolution not in widths:
            raise KakusanError(
                f"network.attention_resolutions must be among the widths of the feature maps, "
                f"{', '.join(map(str, widths))} for images {width} pixels wide, not {resolution} "
                "(use some of these, [] for nowhere, or null for the lowest)"
            )
    return UNet(
        channels,
        channels=settings.channels,
        blocks=settings.blocks,
        attention_levels=[widths.index(resolution) for resolution in resolutions],
        middle_attention=settings.middle_attention,
        head_channels=settings.head_channels,
        groups=settings.groups,
        dropout=settings.dropout,
        scale_shift=settings.scale_shift,
        classes=classes or None,
    )
