"""What a run is made from, as frozen and validated values, and the torch-free tables of what can be named."""

from kakusan.config.describing import FieldRow, as_yaml, describe_section, field_rows, flat, to_mapping, to_yaml
from kakusan.config.loading import changed, from_mapping, load, section
from kakusan.config.models import Config

__all__ = [
    "Config",
    "FieldRow",
    "as_yaml",
    "changed",
    "describe_section",
    "field_rows",
    "flat",
    "from_mapping",
    "load",
    "section",
    "to_mapping",
    "to_yaml",
]
