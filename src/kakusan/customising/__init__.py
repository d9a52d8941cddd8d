"""Pipelines that learn what they do not know yet, from a few images: LoRA, DreamBooth, textual inversion."""

from kakusan.customising.customised import Customised
from kakusan.customising.preparing import Prepared, again, prepared, restored
from kakusan.customising.showing import Showing
from kakusan.customising.trained import Trained

__all__ = ["Customised", "Prepared", "Showing", "Trained", "again", "prepared", "restored"]
