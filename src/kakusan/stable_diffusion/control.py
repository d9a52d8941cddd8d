"""Pictures that say where what is: edges, depths, poses, by which a ControlNet leads a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kakusan.errors import KakusanError, optional, reason_of
from kakusan.files import sha256_of
from kakusan.interop.loading import quietly, whole
from kakusan.interop.pipelines import refuse_pickles
from kakusan.stable_diffusion.editing import Shown, shown
from kakusan.stable_diffusion.fetching import fetched_network
from kakusan.stable_diffusion.pipelines import fitting
from kakusan.stable_diffusion.sizes import require_side

CANNY = "canny:"
"""What comes before a picture of which the edges are to be found first."""
_LOW, _HIGH = 100, 200  # those of the ControlNets that were trained on such edges


@dataclass(frozen=True, eq=False)
class Control:
    """A picture by which a ControlNet leads; :func:`control_of` makes it.

    Attributes:
        told: As it was named, ``canny:`` included.
        picture: The file.
        pixels: What the ControlNet sees, in [0, 1], shape (3, H, W).
    """

    told: str
    picture: Shown
    pixels: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        _, height, width = self.pixels.shape
        return height, width

    def beside(self, count: int) -> Tensor:
        """Returns it for so many images, (count, 3, H, W)."""
        return self.pixels.expand(count, -1, -1, -1)


def control_of(told: str) -> Control:
    """Reads a picture by which a ControlNet leads.

    Args:
        told: Its file, as the ControlNet knows such pictures; or ``canny:FILE``, whose edges are found here.

    Raises:
        KakusanError: It cannot be read, a side is no multiple of 8 pixels, or OpenCV is not installed.
    """
    picture = shown(told.removeprefix(CANNY), grey=False)
    control = Control(told, picture, picture.pixels.expand(3, -1, -1))
    for name, side in zip(("height", "width"), control.size, strict=True):
        require_side(f"the {name} of {told}", side)
    return Control(told, picture, edges(picture.pixels)) if told.startswith(CANNY) else control


def edges(pixels: Tensor) -> Tensor:
    """Returns the edges of a picture, white on black: (3, H, W), of one in [0, 1], (C, H, W).

    Source: Canny, "A Computational Approach to Edge Detection", 1986; by OpenCV.
    """
    with optional("canny:", "diffusers"):
        import cv2
    seen = (pixels.expand(3, -1, -1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return torch.from_numpy(cv2.Canny(seen, _LOW, _HIGH)).float().div(255).expand(3, -1, -1)


def read_controlnet(name: str, device: torch.device, dtype: torch.dtype, offline: bool = False) -> tuple[Any, str]:
    """Returns a ControlNet and the SHA-256 of its weights.

    Args:
        name: Its directory in diffusers' layout, or ``"hub:OWNER/NAME"``.
        device, dtype: Where it computes, and in which type.
        offline: Whether the hub may not be asked.

    Raises:
        KakusanError: There is none, or it is something else.
    """
    from diffusers import ControlNetModel

    place = fetched_network(name, "ControlNet", offline=offline)
    refuse_pickles(place, "ControlNetModel")
    try:
        with quietly():
            kind = ControlNetModel.load_config(place).get("_class_name")
        if kind != "ControlNetModel":
            raise KakusanError(f"{name} is a {kind}, and no ControlNet (give the directory of a ControlNetModel)")
        load = partial(whole, ControlNetModel.from_pretrained)
        with fitting(name):
            made = load(place, torch_dtype=dtype).to(device)
    except KakusanError:
        raise
    # Of a file, of the hub, of a configuration: its errors have no common class.
    except Exception as error:
        raise KakusanError(
            f"{name} cannot be loaded: {reason_of(error)} (give the directory of a ControlNetModel, with safetensors)"
        ) from error
    return made, sha256_of(sorted(place.glob("*.safetensors")))


def require_fit(controlnet: Any, name: str, pipe: Any, model: str) -> None:
    """Refuses a ControlNet that was made for another architecture.

    Raises:
        KakusanError: It reads prompts of another width, has other blocks, or sees pictures of another scale.
    """
    fields = ("cross_attention_dim", "block_out_channels", "layers_per_block")
    for field in fields:
        theirs, ours = (_plain(it.config.get(field)) for it in (controlnet, pipe.unet))
        if theirs != ours:
            raise KakusanError(
                f"{name} was made for another architecture: its {field} is {theirs}, and that of {model} is {ours} "
                "(give one that was made for it)"
            )
    # A U-Net for inpainting is told more beside, of which its ControlNets see nothing.
    if controlnet.config["in_channels"] != pipe.vae.config["latent_channels"]:
        raise KakusanError(
            f"{name} was made for another architecture: its in_channels is {controlnet.config['in_channels']}, and the "
            f"latents of {model} have {pipe.vae.config['latent_channels']} (give one that was made for it)"
        )
    shrinks = 2 ** (len(controlnet.config["conditioning_embedding_out_channels"]) - 1)
    if shrinks != pipe.vae_scale_factor:
        raise KakusanError(
            f"{name} makes one value of {shrinks}×{shrinks} pixels, and the autoencoder of {model} of "
            f"{pipe.vae_scale_factor}×{pipe.vae_scale_factor} (give one that was made for it)"
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
