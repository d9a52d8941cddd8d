"""What becomes of a step whose loss or gradient is NaN or infinite: it is skipped and counted, and many are told."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from kakusan.config import models as config


class Guard:
    """Judges every step on its device, so that nobody waits for it, and answers when asked how things stand.

    Args:
        settings: How many skipped steps in a row are too many, and what then.
        device: Where the losses are.

    Attributes:
        rollbacks: How often training went back to a checkpoint.
    """

    def __init__(self, settings: config.Guard, device: torch.device) -> None:
        self._settings = settings
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)
        self._streak = torch.zeros_like(self._skipped)
        self._last = (torch.zeros(()), torch.zeros(()))
        self.rollbacks = 0

    def judge(self, loss: Tensor, norm: Tensor) -> Tensor:
        """Returns whether the step must not count, bool of shape (), and remembers it.

        Args:
            loss: The mean loss over all processes, shape ().
            norm: The gradient's norm, shape ().
        """
        bad = ~(loss.isfinite() & norm.isfinite())
        self._skipped += bad
        self._streak = (self._streak + 1) * bad
        self._last = (loss.detach(), norm)
        return bad

    @property
    def skipped(self) -> int:
        """Steps skipped altogether; waits for the device."""
        return int(self._skipped)

    @property
    def streak(self) -> int:
        """Steps skipped since the last that counted; waits for the device."""
        return int(self._streak)

    @property
    def rate(self) -> float:
        """What the learning rate is multiplied by."""
        return float(self._settings.lower**self.rollbacks)

    @property
    def may_go_back(self) -> bool:
        """Whether one more rollback is allowed."""
        return self.rollbacks < self._settings.rollbacks

    def troubled(self, step: int, steps: int, last: bool) -> bool:
        """Whether too many steps in a row were skipped. Asks the device at every ``patience``-th step only.

        Args:
            step: Steps done.
            steps: Those to be done in this call, all of which may be fewer than its patience.
            last: Whether this is the last of them.
        """
        patience = min(self._settings.patience, steps)
        return (last or step % patience == 0) and self.streak >= patience

    def trouble(self) -> str:
        """Says what became no number."""
        loss, norm = (value.item() for value in self._last)
        what, value = ("gradient", norm) if math.isfinite(loss) else ("loss", loss)
        return f"the {what} became {value}"

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must hold."""
        return {"skipped": self.skipped, "streak": self.streak, "rollbacks": self.rollbacks}

    def after_rollback(self) -> dict[str, Any]:
        """Returns the state with which training goes on from an earlier checkpoint."""
        return {"skipped": self.skipped, "streak": 0, "rollbacks": self.rollbacks + 1}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        self._skipped.fill_(state["skipped"])
        self._streak = torch.full_like(self._skipped, state["streak"])
        self.rollbacks = state["rollbacks"]
