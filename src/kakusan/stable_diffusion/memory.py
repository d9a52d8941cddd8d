"""What a pipeline spares of memory, or of time, and where its parts lie while it draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from kakusan.errors import KakusanError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Offload = Literal["none", "model", "sequential"]


@dataclass(frozen=True)
class Memory:
    """What is spared.

    Attributes:
        dtype: Of the weights: ``float32``, ``bfloat16``, ``float16``, or ``auto``, which is half precision on a GPU.
        offload: What lies in main memory until it is needed: ``none``; ``model``, each part of the pipeline as a whole,
            which is nearly as fast; ``sequential``, each layer, which is slow and needs next to nothing of a GPU.
        slicing: The decoder takes an image at a time, and attention a few heads, which saves where torch has no fused
            attention, and costs a little where it has.
        tiling: The decoder takes large pictures in tiles.
        compile: The U-Net is compiled, which takes a minute or two before the first step.
    """

    dtype: str = "auto"
    offload: Offload = "none"
    slicing: bool = False
    tiling: bool = False
    compile: bool = False

    def dtype_on(self, device: torch.device) -> torch.dtype:
        """Returns the type of the weights on a device.

        Raises:
            KakusanError: There is none of this name, or the device is too slow with it to be of use.
        """
        if self.dtype == "auto":
            return torch.float16 if device.type == "cuda" else torch.float32
        if self.dtype not in DTYPES:
            raise KakusanError(f"dtype must be auto, {', '.join(DTYPES)}, not {self.dtype}")
        if self.dtype == "float16" and device.type == "cpu":
            raise KakusanError("a CPU draws with float16 far slower than without (use --dtype float32 or bfloat16)")
        return DTYPES[self.dtype]

    def require(self, device: torch.device) -> None:
        """Refuses what a device has no use for.

        Raises:
            KakusanError: Parts are to lie in main memory that lie there anyway.
        """
        if self.offload != "none" and device.type == "cpu":
            raise KakusanError(
                f"offload {self.offload} frees the memory of a GPU, and here the CPU draws (leave --offload out)"
            )
        self.dtype_on(device)

    def prepare(self, pipe: Any) -> None:
        """Lets the parts of a pipeline of diffusers work so; they stay where they are."""
        if self.slicing:
            pipe.enable_attention_slicing()
            pipe.vae.enable_slicing()
        if self.tiling:
            pipe.vae.enable_tiling()
        if self.compile:
            pipe.unet.compile()

    def place(self, pipe: Any, device: torch.device) -> None:
        """Brings a pipeline to a device, or to where it is fetched from part by part."""
        if self.offload == "model":
            pipe.enable_model_cpu_offload(device=device)
        elif self.offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=device)
        else:
            pipe.to(device)
