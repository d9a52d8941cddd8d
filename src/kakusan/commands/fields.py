"""``--section.field value``: fields of the configuration as options, and the help that lists them."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from typer.core import TyperCommand

from kakusan.config import Config, describe_section, field_rows
from kakusan.config.models import SECTIONS, known_fields
from kakusan.config.names import presets
from kakusan.errors import KakusanError, nearest, plain, shortened

_KEY = "kakusan.fields"


class FieldsCommand(TyperCommand):
    """A command that takes every field of the configuration beside its own options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_KEY], rest = take_fields(args)
        return super().parse_args(ctx, rest)


def fields_of(context: Any) -> dict[str, str]:
    """Returns the fields given to a :class:`FieldsCommand`, ``"section.field"`` or ``"section"``, with their text."""
    fields: dict[str, str] = context.meta[_KEY]
    return fields


def take_fields(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Separates the fields, ``--section.field value`` or ``--section.field=value``, from all other arguments.

    Raises:
        KakusanError: A field has no value.
    """
    fields: dict[str, str] = {}
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument == "--":
            return fields, [*rest, argument, *remaining]
        if not argument.startswith("--") or not ("." in name or name in SECTIONS):
            rest.append(argument)
            continue
        if not equals:
            value = next(remaining, "--")
            if value.startswith("--"):
                raise KakusanError(f"--{name} needs a value (--{name} VALUE, or --{name}=VALUE)")
        fields[name] = value
    return fields, rest


def near_fields(option: str, options: Iterable[str]) -> list[str]:
    """Returns the fields that an ``option`` that there is not may mean, as they are typed: those of the nearest name.

    Dashes and capitals do not count; ``--lr`` is ``--optimizer.learning_rate``.

    Args:
        option: What was typed.
        options: Those that there are; where the nearest name is one of theirs, no field is meant.
    """
    homes = [(section, name) for section in SECTIONS for name in known_fields(section)]
    fields = {name: [f"--{section}.{name}" for section, other in homes if other == name] for _, name in homes}
    fields |= {plain(known): [] for known in options}
    wanted = plain(option)
    near = nearest(wanted, fields, cutoff=0.62)
    names = shortened(wanted, fields) or ([] if near is None else [near])
    return [field for name in names for field in fields[name]]


def presets_help(context: Any) -> str:
    """Returns the help of a command, with one line a preset."""
    formatter = context.make_formatter()
    formatter.write("Presets:\n")
    with formatter.indentation():
        formatter.write_dl(list(presets().items()))
    formatter.write_paragraph()
    formatter.write_text('"kakusan train PRESET --help" lists every field, with its value, its limits and its meaning.')
    return f"{context.get_help()}\n\n{formatter.getvalue().rstrip()}"


def fields_help(context: Any, source: str, config: Config) -> str:
    """Returns every field of a configuration, by section: its value, its meaning, what it may hold."""
    formatter = context.make_formatter()
    about: Mapping[str, str] = presets()
    formatter.write_text(f"{source}: {about.get(source, 'a configuration file')}")
    formatter.write_paragraph()
    formatter.write_text("Every field, as it would be set on the command line:")
    for section, rows in groupby(field_rows(config), key=lambda row: row.section):
        formatter.write(f"\n{section}: {describe_section(section)}\n")
        with formatter.indentation():
            formatter.write_dl(
                [(f"--{section}.{row.name} {row.value}", f"{row.description}  [{row.allowed}]") for row in rows], 44
            )
    return str(formatter.getvalue().rstrip())
