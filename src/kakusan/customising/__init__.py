"""Pipelines that learn what they do not know yet, from a few images: LoRA, DreamBooth, textual inversion."""

from kakusan.customising.customised import Customised
from kakusan.customising.preparing import Prepared, again, drawn, prepared, prompts_shown, restored
from kakusan.customising.trained import Trained

__all__ = ["Customised", "Prepared", "Trained", "again", "drawn", "prepared", "prompts_shown", "restored"]
