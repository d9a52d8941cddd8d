"""How a number was measured, in words."""

from collections.abc import Mapping
from typing import Any

from kakusan.reporting.language import Language


def in_words(say: Language, protocol: Mapping[str, Any]) -> dict[str, str]:
    """Returns a protocol as a person reads it, every entry of it."""
    return {_name(say, key): _value(say, value) for key, value in protocol.items()}


def _name(say: Language, key: str) -> str:
    return say(f"protocol.{key}") if say.knows(f"protocol.{key}") else key.replace("_", " ")


def _value(say: Language, value: object) -> str:
    if value is None or value == "":
        return say("protocol.none")
    if isinstance(value, Mapping):
        return ", ".join(f"{_name(say, key)} {_value(say, part)}" for key, part in value.items())
    return say.count(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
