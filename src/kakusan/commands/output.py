"""How a command speaks: results on standard output, for people or as JSON; the rest on standard error."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer


class Interrupted(Exception):  # noqa: N818 (no error: a wish)
    """Ctrl-C ended a command early; the sentence, where it was not said yet, tells what was kept and how to go on."""


def show_json(document: Mapping[str, Any]) -> None:
    """Prints one JSON document."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_facts(facts: Mapping[str, Any]) -> None:
    """Prints names and values below each other; what is None is left out."""
    show_table([(name.replace("_", " "), in_words(value)) for name, value in facts.items() if value is not None])


def in_words(value: Any) -> str:
    """Returns a value as people write it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return ", ".join(map(in_words, value)) or "none"
        case dict():
            return ", ".join(f"{name} {in_words(part)}" for name, part in value.items() if part is not None)
    return str(value)
