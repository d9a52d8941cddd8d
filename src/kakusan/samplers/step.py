"""What every sampler yields."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, repr=False)
class Step:
    """One step of a walk.

    Attributes:
        index: Which step, from 0.
        t: The time arrived at, shape ().
        x: The batch at ``t``, shape (B, *); after the last step, the sample.
        x0: What the clean batch looked like from where the step began, shape (B, *).
    """

    index: int
    t: Tensor
    x: Tensor
    x0: Tensor

    def __repr__(self) -> str:
        return f"Step(index={self.index}, t={self.t:.6g}, shape={tuple(self.x.shape)})"
