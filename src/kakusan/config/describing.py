"""A configuration as YAML with comments, and as rows of a table: both are made from the models themselves."""

import math
import re
from typing import Any, NamedTuple

import yaml

from kakusan.config.models import SECTIONS, Config, variants
from kakusan.config.reading import SCALARS
from kakusan.config.wording import allowed, either

_COMMENT_COLUMN = 34


class FieldRow(NamedTuple):
    """What there is to know of a field; its value as YAML has it."""

    section: str
    name: str
    value: str
    allowed: str
    description: str


def field_rows(config: Config) -> list[FieldRow]:
    """Returns every field that says anything, in the order of the YAML; where a section is a choice, those chosen."""
    return [row for section in _told(config) for row in _section_rows(config, section)]


def describe_section(section: str) -> str:
    """Returns the sentence that says what a section is about."""
    return Config.model_fields[section].description or str(variants(section)[""].__doc__)


def to_yaml(config: Config) -> str:
    """Returns YAML with every field that says anything, and what it means; it loads as an equal configuration.

    The version is the one thing not kept: it becomes that of the kakusan that writes.
    """
    from importlib.metadata import version  # slow to import, and not needed for help

    blocks = [f"version: {as_yaml(version('kakusan'))}"]
    for section in _told(config):
        lines = [
            f"  {row.name}: {row.value}".ljust(_COMMENT_COLUMN) + f"  # {row.description}"
            for row in _section_rows(config, section)
        ]
        blocks.append("\n".join([f"# {describe_section(section)}", f"{section}:", *lines]))
    return "\n\n".join(blocks) + "\n"


def to_mapping(config: Config) -> dict[str, Any]:
    """Returns every field by section as plain values, for JSON: what :func:`to_yaml` writes."""
    from importlib.metadata import version

    return {**config.model_dump(mode="json", exclude=set(config.idle)), "version": version("kakusan")}


def flat(config: Config) -> dict[str, Any]:
    """Returns every field by its name, ``"section.field"``, as plain values."""
    sections = {name: fields for name, fields in config.model_dump(mode="json").items() if isinstance(fields, dict)}
    return {f"{section}.{name}": value for section, fields in sections.items() for name, value in fields.items()}


def _told(config: Config) -> list[str]:
    return [section for section in SECTIONS if section not in config.idle]


def _section_rows(config: Config, section: str) -> list[FieldRow]:
    values = getattr(config, section)
    return [
        FieldRow(
            section,
            name,
            as_yaml(getattr(values, name)),
            either(variants(section)) if name == "kind" else allowed(field),
            str(field.description),
        )
        for name, field in type(values).model_fields.items()
    ]


class _Dumper(yaml.SafeDumper):
    """Puts text in quotes where either YAML 1.1 or 1.2 would take it for something else."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"(?:{SCALARS['float']})\Z"), list("-+.0123456789")
)


def as_yaml(value: Any) -> str:
    """Returns a value as YAML on one line."""
    # Only double quotes write every character, line breaks among them, on one line.
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, default_style=style, width=math.inf, allow_unicode=True
    )
    return text.removesuffix("...\n").rstrip("\n")
