"""LoRA as files: read in the layouts that there are, written so that others read them, worn, merged and fused."""

from kakusan.adapters.adapter import Adapter
from kakusan.adapters.loading import Loaded, fused, load_into
from kakusan.adapters.merging import LOST, merged
from kakusan.adapters.naming import weighted
from kakusan.adapters.reading import read, weights_file
from kakusan.adapters.writing import write

__all__ = [
    "LOST",
    "Adapter",
    "Loaded",
    "fused",
    "load_into",
    "merged",
    "read",
    "weighted",
    "weights_file",
    "write",
]
