"""One published algorithm a file; each is a generator that yields its steps."""

from kakusan.samplers.ddim import ddim
from kakusan.samplers.ddpm import ddpm
from kakusan.samplers.heun import heun
from kakusan.samplers.step import Step

__all__ = ["Step", "ddim", "ddpm", "heun"]
