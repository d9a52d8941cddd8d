"""Pipelines from text to images that are trained already, driven by diffusers."""

from kakusan.stable_diffusion.generation import BATCH, Generation, asked, generated, require
from kakusan.stable_diffusion.pipelines import TextToImage, opened

__all__ = ["BATCH", "Generation", "TextToImage", "asked", "generated", "opened", "require"]
