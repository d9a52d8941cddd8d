"""What was found: records of plain numbers that experiments write and reports tell, without how either is done.

They are read back from JSON, where what is unknown is passed over and what is wrong is refused.
"""

from kakusan.results.comparison import Comparison, Side, differing, shared
from kakusan.results.forecast import Forecast
from kakusan.results.judgement import (
    Judgement,
    Measurement,
    OfClass,
    best_judgement,
    judgements_in,
    measurements_in,
    values_in,
)
from kakusan.results.measured import GuidanceResult, GuidanceSweep, Measured, MixtureEnds, Mode, SamplerResult
from kakusan.results.value import Record, Value

__all__ = [
    "Comparison",
    "Forecast",
    "GuidanceResult",
    "GuidanceSweep",
    "Judgement",
    "Measured",
    "Measurement",
    "MixtureEnds",
    "Mode",
    "OfClass",
    "Record",
    "SamplerResult",
    "Side",
    "Value",
    "best_judgement",
    "differing",
    "judgements_in",
    "measurements_in",
    "shared",
    "values_in",
]
