"""Which images fit a network that halves its resolution several times."""

from torch import Tensor

from kakusan.errors import KakusanError


def check_images(x: Tensor, channels: int, factor: int) -> None:
    """Refuses a batch that is not of shape (B, ``channels``, H, W) with H and W multiples of ``factor``.

    Raises:
        KakusanError: The rank, the channels or a size do not fit; the nearest sizes that do are named.
    """
    if x.ndim != 4 or x.shape[1] != channels:
        raise KakusanError(f"this network takes images of shape (B, {channels}, H, W), not {tuple(x.shape)}")
    for side, size in zip(("height", "width"), x.shape[2:], strict=True):
        if size % factor or size == 0:
            below = max(size // factor, 1) * factor
            raise KakusanError(
                f"a {side} of {size} does not fit this network: it must be a multiple of {factor}, "
                f"such as {below} or {below + factor}; crop, pad or resize the images"
            )
