"""Pipelines from text to images that are trained already, driven by diffusers."""

from kakusan.stable_diffusion.control import Control, control_of
from kakusan.stable_diffusion.editing import STRENGTH, Edit, edit_of
from kakusan.stable_diffusion.emphasis import literal, plain
from kakusan.stable_diffusion.encoding import readers
from kakusan.stable_diffusion.extras import SDXL_ENCODERS, Extras, fitted
from kakusan.stable_diffusion.forecast import Needs, planned
from kakusan.stable_diffusion.generation import Generation, asked, generated
from kakusan.stable_diffusion.memory import DTYPES, Memory
from kakusan.stable_diffusion.pipelines import TextToImage, Worn, opened
from kakusan.stable_diffusion.request import BATCH, Request
from kakusan.stable_diffusion.sizes import multiple_of, require_side

__all__ = [
    "BATCH",
    "DTYPES",
    "SDXL_ENCODERS",
    "STRENGTH",
    "Control",
    "Edit",
    "Extras",
    "Generation",
    "Memory",
    "Needs",
    "Request",
    "TextToImage",
    "Worn",
    "asked",
    "control_of",
    "edit_of",
    "fitted",
    "generated",
    "literal",
    "multiple_of",
    "opened",
    "plain",
    "planned",
    "readers",
    "require_side",
]
