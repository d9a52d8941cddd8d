"""Images to learn from, as bytes in memory or in a prepared cache, and the order in which they are seen."""

from kakusan.data.cache import prepare
from kakusan.data.checking import check
from kakusan.data.images import ImageSet
from kakusan.data.loading import load

__all__ = ["ImageSet", "check", "load", "prepare"]
