"""What a number says of how its images were seen, whoever saw them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import torch

from kakusan.seeing.stream import Seer


def how_seen(seer: Seer) -> dict[str, Any]:
    """Returns what numbers that follow from the same seer have in common: without it two of them do not compare."""
    return {
        "rounding": "to bytes",
        "resize": seer.resize,
        "features": seer.name,
        "seen_on": seer.device.type,
        "library": seer.library,
        "kakusan": version("kakusan"),
        "torch": torch.__version__,
    }
