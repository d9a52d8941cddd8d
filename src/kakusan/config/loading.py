"""From a preset or a YAML file, and what the command line puts over it, to a validated configuration."""

import pathlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError, create_model
from pydantic.fields import FieldInfo

from kakusan.config.models import DURATIONS, SECTIONS, Config, Section, known_fields, variants
from kakusan.config.names import preset_text, presets
from kakusan.config.reading import Path, read_document, read_value
from kakusan.config.wording import either, explain
from kakusan.errors import KakusanError, unknown
from kakusan.files import at_home

Overrides = Mapping[str, Any] | Iterable[tuple[str, Any]]
S = TypeVar("S", bound=Section)


def load(source: str | pathlib.Path, overrides: Overrides = ()) -> Config:
    """Returns the configuration of a preset or a YAML file, with single fields replaced.

    Another ``kind`` of a section drops the fields that it does not have; one length of training replaces the others.

    Args:
        source: The name of a preset, or the path of a YAML file.
        overrides: ``"section.field"``, or ``"section"`` for its kind, with a value or the text of one as typed on a
            command line: ``"1e-4"``, ``"32,64"``, ``"none"``.

    Raises:
        KakusanError: There is no such source, or it is no valid configuration; file, line and field are named.
    """
    values, places = read_document(*_text(source))
    return _validated(Config, {"data": {}, **values}, places, overrides)


def from_mapping(values: Mapping[str, Any], overrides: Overrides = ()) -> Config:
    """Returns the configuration of a mapping of sections, with single fields replaced as by :func:`load`.

    Raises:
        KakusanError: It is no valid configuration; the field is named.
    """
    return _validated(Config, {"data": {}, **values}, {}, overrides)


def changed(settings: Config, overrides: Overrides) -> Config:
    """Returns a configuration with single fields replaced as by :func:`load`.

    Raises:
        KakusanError: It is no valid configuration then; the field is named.
    """
    return from_mapping(settings.model_dump(), overrides)


def section(name: str, values: Mapping[str, Any] | str) -> Any:
    """Returns one section, validated by itself in the words of the whole.

    Args:
        name: Which, such as ``"sampling"``.
        values: Its fields, of which those left out have their defaults; or only its kind.

    Raises:
        KakusanError: The values are no valid section; the field is named.
    """
    return getattr(_validated(_alone(name), {name: values}, {}, ()), name)


@cache
def _alone(name: str) -> type[Section]:
    """Returns a configuration of a single section."""
    field = Config.model_fields[name]
    fields: dict[str, Any] = {name: (field.annotation, field)}
    return create_model(name, __base__=Section, **fields)


def _text(source: str | pathlib.Path) -> tuple[str, str]:
    """Returns a source's YAML, and its name in errors."""
    names = presets()
    if str(source) in names:
        return preset_text(str(source)), f"preset {source}"
    path = at_home(source)
    if path.is_dir():
        raise KakusanError(
            f"{path} is a folder: give a preset or a YAML file, such as the config.yaml of a run "
            "(to learn a folder's images: a YAML file with data: {source: FOLDER, size: 32})"
        )
    if path.name == str(source) and not path.suffix and not path.exists():
        raise KakusanError(f"{unknown('preset', str(source), names)}, or the path of a YAML file")
    try:
        return path.read_text("utf-8"), str(path)
    except UnicodeDecodeError as error:
        raise KakusanError(
            f"{path} is no YAML file: byte {error.start} is not UTF-8 text (give a preset or a YAML file; images are "
            f"--data.source {path})"
        ) from error
    except OSError as error:
        raise KakusanError(
            f"{path} cannot be read: {error.strerror} (give a YAML file, or a preset: {either(names)})"
        ) from error


def _validated(model: type[S], values: Mapping[str, Any], places: dict[Path, str], overrides: Overrides) -> S:
    merged = {section: _written_out(section, fields) for section, fields in values.items()}
    for section, given in _by_section(overrides).items():
        fields = merged.get(section, {})
        if isinstance(fields, dict):
            merged[section] = {**_kept(section, fields, given), **given}
        places[section,] = ""  # what is typed stands in no file
        places.update({(section, name): "" for name in given})
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        raise explain(error, places) from error


def _written_out(section: str, fields: Any) -> Any:
    """Returns a section as a mapping where it is empty or only names its kind."""
    if isinstance(fields, str) and section in SECTIONS and "" not in variants(section):
        return {"kind": fields}
    return {} if fields is None else fields


def _by_section(overrides: Overrides) -> dict[str, dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, value in overrides.items() if isinstance(overrides, Mapping) else overrides:
        section, _, name = key.partition(".")
        if section not in SECTIONS:
            raise unknown("section", section, SECTIONS)
        if not name and "" in variants(section):
            raise KakusanError(
                f"{section} has no kinds: name one of its fields, such as {section}.{min(known_fields(section))}"
            )
        field = known_fields(section).get(name)
        sections[section][name or "kind"] = _parsed(value, field, key) if isinstance(value, str) else value
    return sections


def _parsed(text: str, field: FieldInfo | None, key: str) -> Any:
    annotation = None if field is None else field.annotation
    if annotation is str or text in [choice for kind in get_args(annotation) for choice in get_args(kind)]:
        return text
    if text.lower() in ("none", "null") and NoneType in get_args(annotation):
        return None
    if any(get_origin(kind) is tuple for kind in (annotation, *get_args(annotation))) and not text.startswith("["):
        text = f"[{text}]"
    return read_value(text, f"--{key}")


def _kept(section: str, fields: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Returns those ``fields`` that the ``given`` ones leave a meaning."""
    if section == "training" and given.keys() & set(DURATIONS):
        return {name: value for name, value in fields.items() if name not in DURATIONS}
    model = variants(section).get(str(given.get("kind")))
    if model is None:
        return fields
    elsewhere = known_fields(section).keys() - model.model_fields.keys()
    return {name: value for name, value in fields.items() if name not in elsewhere}
