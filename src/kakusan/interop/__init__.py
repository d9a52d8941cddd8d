"""To and from other libraries."""

from kakusan.interop import diffusers, textbook

__all__ = ["diffusers", "textbook"]
