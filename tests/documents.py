"""What it takes to read the documents: their blocks, what they quote, and the names and commands in it."""

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from kakusan import config
from kakusan.commands.fields import fields_of
from kakusan.commands.front import app

ROOT = Path(__file__).parents[1]


def blocks(document: Path, language: str = r"\w*") -> list[str]:
    """Returns the fenced blocks in a language; in any by default."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def prose(document: Path) -> str:
    """Returns a document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def quoted(text: str) -> list[str]:
    """Returns what stands between single backticks."""
    return re.findall(r"`([^`\n]+)`", text)


def cells(document: Path) -> list[str]:
    """Returns the cells of all tables."""
    rows = [line for line in document.read_text("utf-8").splitlines() if line.startswith("|")]
    return [cell for row in rows for cell in row.strip("|").split("|")]


def rows(document: Path) -> list[list[str]]:
    """Returns the rows of all tables without their heads, a list of cells each."""
    tables = re.findall(r"^\|.*\n\|[-:|]+\|\n((?:\|.*\n)+)", document.read_text("utf-8"), re.MULTILINE)
    return [[cell.strip() for cell in row[1:-1].split("|")] for table in tables for row in table.splitlines()]


def resolve(name: str) -> object:
    """Returns what a dotted name stands for: a module, or something in one."""
    found = import_module("kakusan")
    for done, part in enumerate(name.split(".")[1:], start=1):
        try:
            found = getattr(found, part)
        except AttributeError:
            found = import_module(".".join(name.split(".")[: done + 1]))
    return found


def context_of(line: str) -> Any:
    """Reads a line that calls kakusan as the command line would, runs nothing, and raises what would be refused."""
    name, *arguments = shlex.split(line, comments=True)[1:]
    group = typer.main.get_command(app)
    front = group.make_context("kakusan", [])
    return group.get_command(front, name).make_context(name, arguments, parent=front)


def understand(line: str) -> None:
    """Reads a line as :func:`context_of` does, and where it trains its configuration too."""
    context = context_of(line)
    preset = context.params.get("preset")
    if preset is not None:
        # A file of the reader's own is not there to be read.
        config.load("digits" if preset.endswith(".yaml") else preset, fields_of(context))
