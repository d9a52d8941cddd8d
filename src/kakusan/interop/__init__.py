"""To and from other libraries."""

from kakusan.interop import diffusers, textbook
from kakusan.interop.wrapped import wrap

__all__ = ["diffusers", "textbook", "wrap"]
