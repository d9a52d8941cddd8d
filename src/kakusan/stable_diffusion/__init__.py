"""Pipelines from text to images that are trained already, driven by diffusers."""

from kakusan.stable_diffusion.editing import STRENGTH, Edit, edit_of
from kakusan.stable_diffusion.generation import Generation, asked, generated
from kakusan.stable_diffusion.pipelines import TextToImage, opened
from kakusan.stable_diffusion.request import BATCH, Request

__all__ = [
    "BATCH",
    "STRENGTH",
    "Edit",
    "Generation",
    "Request",
    "TextToImage",
    "asked",
    "edit_of",
    "generated",
    "opened",
]
