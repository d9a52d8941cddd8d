"""Learning in the latents of an autoencoder: where it comes from, what a run keeps of it, images encoded once."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from shlex import quote

from safetensors import SafetensorError, safe_open
from torch import Tensor

from kakusan import build
from kakusan.codec import Codec
from kakusan.config.models import Data
from kakusan.config.names import HUB, presets
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet
from kakusan.data.latents import LatentBatches
from kakusan.data.parting import kept_out
from kakusan.devices import resolve
from kakusan.errors import KakusanError
from kakusan.feeding import Feed
from kakusan.files import at_home, atomic_write
from kakusan.interop.autoencoders import autoencoder_from_diffusers, read_autoencoder
from kakusan.networks import Autoencoder
from kakusan.networks.arguments import arguments_of
from kakusan.networks.autoencoder import Posterior
from kakusan.pictures import from_uint8
from kakusan.runs import Run
from kakusan.seeing.seen import seen_to_stay
from kakusan.seeing.sources import Mirrored, Stored
from kakusan.tensors import load_weights, pack

_FORMAT = "kakusan autoencoder 1"
_TRIED = 256  # images


def opened(settings: Data, shape: tuple[int, int, int], device: str) -> Codec | None:
    """Returns the autoencoder in whose latents a run will learn; None where it learns in pixels.

    Args:
        settings: They name a run that trained one, the file that a run in its latents keeps, or an ``AutoencoderKL`` of
            diffusers: its directory, or ``"hub:OWNER/NAME"``.
        shape: (C, H, W) of the pictures that it is for.
        device: Where to put it.

    Raises:
        KakusanError: There is none, it is damaged, or takes no pictures of this shape.
    """
    if settings.latent is None:
        return None
    name = settings.latent
    path = at_home(name)
    if Run.is_at(path):
        found = build.restored_as(Codec, Run.open(path))
    elif path.is_file():
        found = read(path)
    elif path.is_dir() or name.startswith(HUB):
        network = autoencoder_from_diffusers(read_autoencoder(name.removeprefix(HUB) if name.startswith(HUB) else path))
        found = Codec(network, (network.in_channels, *shape[1:]), source=name)
    elif path.name in presets():
        raise KakusanError(f"there is no {name} yet (train it: kakusan train {path.name} --run {quote(name)})")
    else:
        raise KakusanError(f"there is no autoencoder {name} (check the path; one of the hub is {HUB}OWNER/NAME)")
    network = found.network
    if network.in_channels != shape[0]:
        raise KakusanError(
            f"{name} is an autoencoder of images of {network.in_channels} channels, and these have {shape[0]} "
            f"(--data.channels {network.in_channels}, or another autoencoder)"
        )
    try:
        found = replace(found, shape=shape, tile=settings.latent_tile)
    except KakusanError as error:
        raise KakusanError(f"{name} does not take images of {shape[1]}×{shape[2]}: {error}") from error
    network.to(resolve(device)).eval().requires_grad_(False)
    return replace(found, weights_hash=found.weights_hash or sha256(pack(network.state_dict())).hexdigest())


def write(codec: Codec, path: Path) -> None:
    """Keeps an autoencoder in one file.

    Raises:
        KakusanError: The disk refuses it.
    """
    weights = codec.network.state_dict()
    about = {
        "format": _FORMAT,
        "network": json.dumps(arguments_of(codec.network)),
        "shape": json.dumps(codec.shape),
        "source": codec.source,
        "weights_hash": codec.weights_hash or sha256(pack(weights)).hexdigest(),
        "kakusan": version("kakusan"),
    }
    atomic_write(path, pack(weights, about))


def read(path: Path) -> Codec:
    """Returns the autoencoder of a file that :func:`write` wrote.

    Raises:
        KakusanError: It is missing, damaged, or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
        if about.get("format") != _FORMAT:
            raise KakusanError(f"{path} holds no autoencoder of a run (give a run of one, or a model of diffusers)")
        network = Autoencoder(**json.loads(about["network"]))
        channels, height, width = json.loads(about["shape"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, KakusanError):
            raise
        raise KakusanError(f"{path} is damaged or cut short: {error} (give the autoencoder's run)") from error
    load_weights(network, path)
    return Codec(network, (channels, height, width), source=about["source"], weights_hash=about["weights_hash"])


def kept(run: Run, settings: Data, device: str) -> Codec | None:
    """Returns the autoencoder in whose latents a run learns; None where it learns in pixels.

    Raises:
        KakusanError: It is missing, or damaged.
    """
    if settings.latent is None:
        return None
    if not run.autoencoder_path.exists():
        raise KakusanError(
            f"{run.autoencoder_path} is missing, in whose latents {run.path} learned (put it back; it was made from "
            f"{settings.latent})"
        )
    found = read(run.autoencoder_path)
    found.network.to(resolve(device)).eval().requires_grad_(False)
    return replace(found, tile=settings.latent_tile)


def encoded(feed: Feed, codec: Codec, settings: Data, show: bool = True) -> Feed:
    """Returns what a training is fed with, in latents: encoded now and put into the user's cache, or there already.

    Args:
        feed: Images.
        codec: What encodes them.
        settings: Whether they are mirrored.
        show: Whether to show progress.

    Raises:
        KakusanError: They come from a loader, their latents are no numbers, or the disk refuses these; whoever asks
            again goes on.
    """
    batches = feed.batches
    if not isinstance(batches, ImageBatches):
        raise _no_loader()
    images, seer = Stored(batches.images), _Encoder(codec)
    sources = (images, Mirrored(images)) if settings.flip else (images,)
    stores = [seen_to_stay(source, [seer], show)[seer.name] for source in sources]
    views = [Posterior(store["mean"], store["log_variance"]) for store in stores]
    return replace(feed, batches=LatentBatches(batches.images, views, codec.latent_shape, batches.among, batches.words))


def tried(feed: Feed, codec: Codec, settings: Data) -> tuple[Feed, float, int]:
    """Returns what a training is fed with in the latents of the first images alone, which are kept nowhere; and how
    long encoding all images takes, in seconds, and what it leaves on the disk, in bytes.

    Args:
        feed, codec, settings: As in :func:`encoded`.

    Raises:
        KakusanError: As there.
    """
    batches = feed.batches
    if not isinstance(batches, ImageBatches):
        raise _no_loader()
    whole = batches.images
    count = min(len(whole), kept_out(settings.held_out, len(whole)) + _TRIED)
    labels = None if whole.labels is None else whole.labels[:count]
    first = ImageSet(whole.images[:count], labels, whole.class_names, whole.name)
    views, started = 1 + settings.flip, time.perf_counter()
    posterior = codec.encode(from_uint8(first.images))
    took = (time.perf_counter() - started) / count
    flat = Posterior(posterior.mean.flatten(1).cpu(), posterior.log_variance.flatten(1).cpu())
    words = None if batches.words is None else batches.words[:count]
    small = LatentBatches(first, [flat] * views, codec.latent_shape, words=words)
    room = views * len(whole) * 2 * flat.mean[0].numel() * flat.mean.itemsize
    return replace(feed, batches=small), views * len(whole) * took, room


def _no_loader() -> KakusanError:
    return KakusanError("data.latent encodes images once, and a data loader hands out others each time (give a folder)")


class _Encoder:
    """An autoencoder as it sees images.

    Args:
        codec: The autoencoder.

    Attributes:
        name, layers, resize, device, library: As of any seer.
    """

    resize = "not at all"

    def __init__(self, codec: Codec) -> None:
        self._codec, self.device = codec, codec.device
        self.name = f"autoencoder {codec.weights_hash[:16]} {codec.dtype} {codec.tile}"
        self.library = f"kakusan {version('kakusan')}"
        channels, height, width = codec.latent_shape
        self.layers = dict.fromkeys(("mean", "log_variance"), channels * height * width)

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Returns mean and log-variance of the latents of images, uint8, shape (N, C, H, W): (N, L·h·w) each."""
        posterior = self._codec.encode(from_uint8(images.to(self.device)))
        return {
            "mean": posterior.mean.flatten(1).float().cpu(),
            "log_variance": posterior.log_variance.flatten(1).float().cpu(),
        }
