"""What every record is, and a number with the doubt about it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from kakusan import proportions


class Record(BaseModel):
    """What was found, in plain values; fields that this version does not know are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, for JSON."""
        return self.model_dump()


class Value(Record):
    """A number, and what there is to say about it.

    Attributes:
        value: The number.
        interval: Where it may as well lie; None where nobody knows.
        real: What real images score; None where that says nothing.
    """

    value: float
    interval: tuple[float, float] | None = None
    real: float | None = None

    @classmethod
    def of_share(cls, share: float, n: int) -> Value:
        """Returns a share of ``n``, with its confidence interval of 95 %."""
        return cls(value=share, interval=proportions.interval(share, n))

    def beyond(self, other: Value) -> bool:
        """Whether the two differ by more than the doubt about them: their intervals have nothing in common.

        Where no doubt is known, no difference is beyond it.
        """
        if self.interval is None or other.interval is None:
            return False
        return self.interval[0] > other.interval[1] or other.interval[0] > self.interval[1]
