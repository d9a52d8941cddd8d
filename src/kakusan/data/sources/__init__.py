"""Where images come from, one kind a file: each lists what it has and reads any one of it."""

from kakusan.data.sources.finding import absolute, open_source, portable, require_here, source_named
from kakusan.data.sources.source import AnySize, Source

__all__ = ["AnySize", "Source", "absolute", "open_source", "portable", "require_here", "source_named"]
