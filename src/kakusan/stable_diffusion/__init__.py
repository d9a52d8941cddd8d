"""Pipelines from text to images that are trained already, driven by diffusers."""

from kakusan.stable_diffusion.editing import STRENGTH, Edit, edit_of
from kakusan.stable_diffusion.generation import Generation, asked, generated
from kakusan.stable_diffusion.pipelines import TextToImage, opened
from kakusan.stable_diffusion.request import BATCH, Request
from kakusan.stable_diffusion.sizes import multiple_of, require_side

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
    "multiple_of",
    "opened",
    "require_side",
]
