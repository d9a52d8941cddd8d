"""What a pipeline learns from: a few images, what each is said to show, and images of their kind, lest it forget."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from kakusan import seeds, stable_diffusion
from kakusan.config import models as config
from kakusan.customising.buckets import BucketBatches
from kakusan.customising.customised import encode, picture_shape
from kakusan.customising.likeness import alike
from kakusan.customising.showing import batch_of, unchecked
from kakusan.data import check, load
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet
from kakusan.data.latents import LatentBatches
from kakusan.data.order import batch_indices
from kakusan.data.remarks import remarks_on
from kakusan.errors import KakusanError, counted, some
from kakusan.networks.autoencoder import Posterior
from kakusan.pictures import from_uint8, to_uint8
from kakusan.progress import Bar
from kakusan.seeds import Draws
from kakusan.stable_diffusion import Request, TextToImage, literal

FEW, SHOWN = 3, 20
TEMPLATES = ("a photo of {}", "a picture of {}", "a close-up of {}", "a bright photo of {}", "a rendering of {}", "{}")
"""What images of a new word are said to show, where nobody says more."""


class CustomBatches(LatentBatches):
    """Latents of images of one's own, and of their kind in turn: the clock of the images seen decides, so that a batch
    may be parted as one likes.

    Args:
        images: All of them, those of the kind last; their labels say which prompt each goes with.
        views: Their latents, as in :class:`LatentBatches`.
        shape: (L, h, w) of the latents.
        prior: How many of them are of the kind.
        among: As in :class:`LatentBatches`.
    """

    def __init__(
        self,
        images: ImageSet,
        views: Sequence[Posterior],
        shape: tuple[int, int, int],
        prior: int = 0,
        among: Tensor | None = None,
    ) -> None:
        super().__init__(images, views, shape, among)
        self._prior = prior

    @property
    def own(self) -> Tensor:
        served = self.numbers
        return served[served < len(self.images) - self._prior]

    def only(self, among: Tensor) -> CustomBatches:
        return CustomBatches(self.images, self._views, self._latent_shape, self._prior, among)

    def indices(self, draws: Draws) -> Tensor:
        served, own = self.numbers, len(self.images) - self._prior
        turns = (served[served < own], served[served >= own])
        if not len(turns[1]):
            return super().indices(draws)
        clock = torch.arange(draws.step * draws.count, (draws.step + 1) * draws.count)
        found = torch.empty_like(clock)
        for turn, those in enumerate(turns):
            now = clock % 2 == turn
            if now.any():
                first = int(clock[now][0]) // 2
                found[now] = those[batch_indices(draws.seed, first, int(now.sum()), len(those))]
        return found[draws.share]


def given_images(images: ImageSet, base: TextToImage) -> tuple[ImageSet, list[str]]:
    """Returns images given in Python, and what is to be said of them.

    Raises:
        KakusanError: Their size or their channels are none for the pipeline.
    """
    channels, (has, height, width) = picture_shape(base)[0], images.shape
    if has != channels:
        raise KakusanError(f"the images have {counted(has, 'channel')}, and the pictures of {base.name} {channels}")
    if height != width:
        raise KakusanError(f"the images are {width}×{height} pixels, and squares are learned (cut them)")
    stable_diffusion.require_side(
        "the side of the images", height, stable_diffusion.multiple_of(base.pipe.vae_scale_factor)
    )
    return images, _remarks(images)


def own_images(settings: config.Config, base: TextToImage, show: bool = True) -> tuple[ImageSet, list[str]]:
    """Loads the images to learn from, as large as the pipeline's pictures unless told otherwise, and what is to be said
    of them.

    Raises:
        KakusanError: There are none, one cannot be read, or their size is none for the pipeline.
    """
    channels, height, width = picture_shape(base)
    data = settings.data
    size = data.size or min(height, width)
    stable_diffusion.require_side("data.size", size, stable_diffusion.multiple_of(base.pipe.vae_scale_factor))
    _require_buckets(settings, size, base)
    images = load(data.source, size=size, channels=3 if channels == 3 else 1, max_broken=data.max_broken, show=show)
    found = check(data.source, size=size, show=False) if len(images) <= _LOOKED_AT else None
    remarks = _remarks(images)
    if found is not None and found.too_small:
        remarks.append(
            f"{counted(len(found.too_small), 'image')} below {size} pixels, enlarged: {_listed(found.too_small)}"
        )
    return images, remarks


def _remarks(images: ImageSet) -> list[str]:
    """Returns what is to be said of images, wherever they are from."""
    remarks = remarks_on(images)
    if len(images) < FEW:
        remarks.append(f"{counted(len(images), 'image')}: what they share by chance is learned as well (3 to 20 serve)")
    if len(images) <= _LOOKED_AT and (groups := alike(images.images)):
        names = images.names or tuple(f"image {number}" for number in range(len(images)))
        twins = [" = ".join(names[number] for number in group) for group in groups]
        remarks.append(f"nearly the same picture more than once, which counts as often: {_listed(twins)}")
    return remarks


def _require_buckets(settings: config.Config, size: int, base: TextToImage) -> None:
    """Refuses a step of sizes that does not fit the autoencoder, or the square."""
    step = getattr(settings.objective, "buckets", None)
    if step is None:
        return
    stable_diffusion.require_side("objective.buckets", step, stable_diffusion.multiple_of(base.pipe.vae_scale_factor))
    if size % step:
        raise KakusanError(
            f"objective.buckets must divide the side of the square, {size} pixels, and {step} does not (use 64, say, "
            "or another data.size)"
        )


def prompts_of(settings: config.Config, images: ImageSet) -> tuple[tuple[str, ...], Tensor]:
    """Returns the distinct prompts of images, and which go with which: (image, prompt) pairs, int64, shape (N, 2).

    Raises:
        KakusanError: Nobody says what an image shows.
    """
    how, network = settings.objective, settings.network
    assert isinstance(how, config.Customising), "asked for by whoever knows"
    wanted = how.instance_prompts
    if isinstance(network, config.Embedding) and not wanted and not any(images.captions):
        wanted = tuple(it.format(network.token) for it in TEMPLATES)
    if wanted:
        prompts = tuple(dict.fromkeys(wanted))
        if settings.data.held_out and len(prompts) > 1:
            raise KakusanError(
                f"data.held_out {settings.data.held_out:g} keeps images out, and with {len(prompts)} prompts each is "
                "learned by another one all the same (say one: --instance-prompt; or keep none out)"
            )
        pairs = [(image, number) for image in range(len(images)) for number in range(len(prompts))]
        return prompts, torch.tensor(pairs)
    silent = [place for place in range(len(images)) if not images.captions or not images.captions[place].strip()]
    if silent:
        names = [images.names[place] if images.names else f"image {place}" for place in silent]
        raise KakusanError(
            f"nobody says what {counted(len(silent), 'image')} of {settings.data.source} show: {_listed(names)} (put a "
            ".txt beside each, or say it of all: --instance-prompt 'a photo of sks dog')"
        )
    if isinstance(network, config.Embedding) and (without := [it for it in images.captions if network.token not in it]):
        raise KakusanError(
            f"the caption {without[0]!r} does not use the word {network.token!r} that is learned (write it there, or "
            f"say --instance-prompt 'a photo of {network.token}')"
        )
    prompts = tuple(dict.fromkeys(images.captions))
    return prompts, torch.tensor([(place, prompts.index(it)) for place, it in enumerate(images.captions)])


def prior_of(settings: config.Config, base: TextToImage, size: int, show: bool = True) -> Tensor | None:
    """Returns images of the kind, uint8, shape (n, 3, size, size): those of a folder, or drawn by the pipeline as it is
    before it learns; None where none are asked for.

    Raises:
        KakusanError: The folder cannot be read.
    """
    how = settings.objective
    assert isinstance(how, config.Customising), "asked for by whoever knows"
    if not how.class_prompts:
        return None
    if how.prior is not None:
        return load(how.prior, size=size, channels=3, max_broken=settings.data.max_broken, show=show).images
    seed = seeds.derive(settings.training.seed, "prior")
    told, batch = tuple(map(literal, how.class_prompts)), batch_of(base, size)
    request = Request(told, n=how.prior_images, height=size, width=size, seed=seed, batch=batch)
    with unchecked(base.pipe), Bar("drawing images of its kind", 1, show=show) as bar:
        return to_uint8(stable_diffusion.generated(stable_diffusion.asked(base, request), bar.report))


def repeated(settings: config.Config, images: ImageSet, pairs: Tensor) -> tuple[Tensor, list[str]]:
    """Returns pairs as often as the folders of their images say, N of one called N_NAME, and what is to be said of it.

    Raises:
        KakusanError: That is asked for, and no folder says anything.
    """
    if not getattr(settings.objective, "folder_repeats", False):
        return pairs, []
    told = {place: re.match(r"([1-9]\d*)_", name) for place, name in enumerate(images.class_names)}
    times = torch.tensor([int(found[1]) if found else 1 for found in told.values()])
    if images.labels is None or not any(told.values()):
        raise KakusanError(
            f"objective.folder_repeats needs sub-folders of {settings.data.source} called N_NAME, such as 3_portrait, "
            "and there is none (rename them, or leave it out)"
        )
    counts = [f"{name} {count}×" for name, count in zip(images.class_names, times.tolist(), strict=True)]
    return pairs.repeat_interleave(times[images.labels][pairs[:, 0]], 0), [f"images count: {_listed(counts)}"]


def batches_of(
    settings: config.Config,
    base: TextToImage,
    images: ImageSet,
    shaped: Sequence[Tensor],
    pairs: Tensor,
    prompts: Sequence[str],
    prior: Tensor | None,
) -> ImageBatches:
    """Returns what a training is fed with: every image as often as it has prompts, encoded once.

    Args:
        settings: Whether images are mirrored.
        base: Whose autoencoder encodes.
        images, pairs, prompts: What :func:`own_images` and :func:`prompts_of` returned; of prompts the last are those
            of the kind, where there are any, of whose images each goes with one in turn.
        shaped: The images at the sizes at which they are learned.
        prior: Images of the kind, all of one size with the others.
    """
    how = settings.objective
    assert isinstance(how, config.Customising), "asked for by whoever knows"
    those, labels = pairs.unbind(1)
    pixels = images.images
    if prior is not None:
        pixels = torch.cat([pixels, prior])
        those = torch.cat([those, torch.arange(len(images), len(pixels))])
        kinds = len(how.class_prompts)
        labels = torch.cat([labels, len(prompts) - kinds + torch.arange(len(prior)) % kinds])
    names = tuple(images.names[place] for place in those) if images.names and prior is None else ()
    everything = ImageSet(pixels[those], labels, tuple(prompts), images.name, names=names)
    sizes = list(dict.fromkeys(it.shape for it in shaped))
    if sizes == [images.images.shape[1:]]:
        return _encoded(settings, base, pixels, those, everything, 0 if prior is None else len(prior))
    members, parts = [], []
    for size in sizes:
        own = torch.tensor([number for number, it in enumerate(shaped) if it.shape == size])
        among = torch.isin(those, own).nonzero()[:, 0]
        within = torch.stack([shaped[number] for number in own])
        numbers = torch.searchsorted(own, those[among])
        some = ImageSet(within[numbers], labels[among], tuple(prompts), images.name)
        members.append(among)
        parts.append(_encoded(settings, base, within, numbers, some))
    return BucketBatches(everything, members, parts)


def _encoded(
    settings: config.Config, base: TextToImage, pixels: Tensor, those: Tensor, everything: ImageSet, prior: int = 0
) -> CustomBatches:
    """Returns batches of images of one size, each encoded once however often it is among ``those``."""
    views = []
    for mirrored in (False, True)[: 1 + settings.data.flip]:
        found = encode(base, from_uint8(pixels.flip(3) if mirrored else pixels))
        views.append(Posterior(found.mean.flatten(1)[those], found.log_variance.flatten(1)[those]))
    shape = found.mean.shape[1:]
    return CustomBatches(everything, views, (shape[0], shape[1], shape[2]), prior)


def _listed(names: Sequence[str]) -> str:
    return some(list(names), SHOWN)


_LOOKED_AT = 200
