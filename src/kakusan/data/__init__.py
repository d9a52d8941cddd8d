"""Images to learn from: built-in sets and any folder, as bytes in memory, and the order in which they are seen."""

from kakusan.data.images import ImageSet
from kakusan.data.sources import load

__all__ = ["ImageSet", "load"]
