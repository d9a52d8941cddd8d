"""The images that a pipeline learns from, and what is to be said of them."""

from __future__ import annotations

from kakusan import stable_diffusion
from kakusan.config import models as config
from kakusan.customising.customised import picture_shape
from kakusan.customising.likeness import alike
from kakusan.data import check, load
from kakusan.data.images import ImageSet
from kakusan.data.remarks import remarks_on
from kakusan.errors import KakusanError, counted, some
from kakusan.stable_diffusion import TextToImage

FEW, SHOWN = 3, 20
_LOOKED_AT = 200


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
            f"{counted(len(found.too_small), 'image')} below {size} pixels, enlarged: {some(found.too_small, SHOWN)}"
        )
    return images, remarks


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


def _remarks(images: ImageSet) -> list[str]:
    """Returns what is to be said of images, wherever they are from."""
    remarks = remarks_on(images)
    if len(images) < FEW:
        remarks.append(f"{counted(len(images), 'image')}: what they share by chance is learned as well (3 to 20 serve)")
    if len(images) <= _LOOKED_AT and (groups := alike(images.images)):
        names = images.names or tuple(f"image {number}" for number in range(len(images)))
        twins = [" = ".join(names[number] for number in group) for group in groups]
        remarks.append(f"nearly the same picture more than once, which counts as often: {some(twins, SHOWN)}")
    return remarks


def _require_buckets(settings: config.Config, size: int, base: TextToImage) -> None:
    """Refuses a step of sizes that does not fit the autoencoder, or the square."""
    step = getattr(settings.objective, "buckets", None)
    if step is None:
        return
    stable_diffusion.require_side("objective.buckets", step, stable_diffusion.multiple_of(base.pipe.vae_scale_factor))
    if size % step:
        raise KakusanError(
            f"objective.buckets must divide the side of the square, {size} pixels, and {step} does not (use "
            f"{size // 4 or size}, say, or another data.size)"
        )
