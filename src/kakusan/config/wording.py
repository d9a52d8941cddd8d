"""What a field may hold, in words; and pydantic's complaints as sentences."""

import reprlib
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import MinLen
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from kakusan.config.models import SECTIONS, Config, known_fields, variants
from kakusan.config.reading import Path
from kakusan.errors import KakusanError, unknown

LIMITS = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below", "multiple_of": "divisible by"}


def allowed(field: FieldInfo) -> str:
    """Returns what a field may hold, such as "a number above 0, or null"."""
    return either(field.examples) if field.examples else _allowed(field.annotation, field.metadata)


def either(values: Iterable[Any]) -> str:
    """Returns "a, b or c"."""
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last


def explain(error: ValidationError, places: Mapping[Path, str]) -> KakusanError:
    """Returns the first complaint as a sentence, and the fields of the others.

    Args:
        error: What pydantic says.
        places: Where sections and fields stand, by path; the longest one that fits a field is named.
    """
    # What is missing is told where nothing else is: mostly it stands there, misspelt.
    complaints = sorted(error.errors(), key=lambda details: details["type"] == "missing")
    if complaints[0]["type"] != "missing":
        complaints = [details for details in complaints if details["type"] != "missing"]
    (path, sentence), *others = map(_sentence, complaints)
    place = next((places[path[:n]] for n in (2, 1, 0) if path[:n] in places), "")
    more = f" (and {len(others)} more: {', '.join('.'.join(path) for path, _ in others)})" if others else ""
    return KakusanError(f"{place}: {sentence}{more}".removeprefix(": "))


def _sentence(details: ErrorDetails) -> tuple[Path, str]:
    path = _path(details["loc"])
    section, name = (*path, "", "")[:2]
    match details["type"]:
        case "value_error":
            return path, str(details["ctx"]["error"])
        case "extra_forbidden":
            return path, str(_unknown_field(details))
        case "missing" if name and details["loc"][-1] == name:
            return path, f"{'.'.join(path)} is missing: {known_fields(section)[name].description}"
        case "union_tag_invalid":
            return (section, "kind"), str(unknown(f"kind of {section}", str(details["ctx"]["tag"]), variants(section)))
    field = known_fields(section).get(name) if section in SECTIONS else Config.model_fields.get(section)
    if field is None:
        return path, f"{section} must be a mapping of fields, not {reprlib.repr(details['input'])}"
    quote = ", in quotes" if field.annotation is str and not isinstance(details["input"], str) else ""
    usual = "" if field.is_required() else f" (the default is {_plain(field.get_default(call_default_factory=True))})"
    return path, f"{'.'.join(path)} must be {allowed(field)}{quote}, not {reprlib.repr(details['input'])}{usual}"


def _plain(value: Any) -> str:
    """Returns a value as YAML has it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(map(_plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _path(location: tuple[int | str, ...]) -> Path:
    """Returns section and field, without the kind and the index in a list that pydantic puts between and behind; of
    the configuration as a whole, nothing."""
    if not location:
        return ()
    section, *rest = map(str, location)
    has_kind = section in SECTIONS and rest and rest[0] in variants(section)
    return (section, *rest[1 if has_kind else 0 :][:1])


def _unknown_field(details: ErrorDetails) -> KakusanError:
    section, *rest = map(str, details["loc"])
    if not rest:
        return unknown("section", section, SECTIONS)
    name = rest[-1]
    homes = [home for home in SECTIONS if name in known_fields(home)]
    cut_short = any(field.startswith(f"{name}_") for field in known_fields(section))
    if homes and section not in homes and not cut_short:
        return KakusanError(f"unknown field {section}.{name}: did you mean {homes[0]}.{name}?")
    kind = rest[0] if len(rest) > 1 else ""
    return unknown(f"field of {kind} {section}".replace("  ", " "), name, variants(section)[kind].model_fields)


def _allowed(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        (field,) = (part for part in arguments if isinstance(part, FieldInfo))
        return either(field.examples) if field.examples else _allowed(arguments[0], field.metadata)
    if origin in (Union, UnionType):
        (value,) = (argument for argument in arguments if argument is not NoneType)
        return f"{_allowed(value, metadata)}, or null"
    if origin is Literal:
        return either(arguments)
    if origin is tuple:
        return _list(arguments, some=any(isinstance(constraint, MinLen) for constraint in metadata))
    noun = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[annotation]
    return f"{noun} {_limits(metadata)}".rstrip()


def _list(items: tuple[Any, ...], some: bool) -> str:
    count = "one or more " if some else "" if items[-1] is Ellipsis else f"{len(items)} "
    return f"a list of {count}{_allowed(items[0], []).removeprefix('a ').replace('number', 'numbers')}"


def _limits(metadata: list[Any]) -> str:
    bounds = {name: getattr(part, name) for name in LIMITS for part in metadata if hasattr(part, name)}
    if bounds.keys() == {"ge", "le"}:
        return f"from {bounds['ge']:g} to {bounds['le']:g}"
    return " and ".join(f"{LIMITS[name]} {bound:g}" for name, bound in bounds.items())
