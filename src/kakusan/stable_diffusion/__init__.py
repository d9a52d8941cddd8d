"""Pipelines from text to images that are trained already, driven by diffusers."""

from kakusan.stable_diffusion.editing import STRENGTH, Edit, edit_of
from kakusan.stable_diffusion.generation import BATCH, Generation, asked, generated, require
from kakusan.stable_diffusion.pipelines import TextToImage, opened

__all__ = [
    "BATCH",
    "STRENGTH",
    "Edit",
    "Generation",
    "TextToImage",
    "asked",
    "edit_of",
    "generated",
    "opened",
    "require",
]
