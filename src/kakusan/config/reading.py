"""YAML text to plain values, remembering on which line each field stands.

Scalars are read as YAML 1.2 has them: 1e-4 is a number, while yes, 12:30, 010 and 2024-01-01 are text.
"""

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node

from kakusan.errors import KakusanError

Path = tuple[str, ...]

SCALARS = {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "null": r"~|null|Null|NULL|",
    "int": r"[-+]?(0|[1-9][0-9_]*)",
    "float": r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9][0-9_]*(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
}


class Loader(yaml.SafeLoader):
    """Constructs plain values only, by the rules of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (the table of YAML 1.1 goes)


for _name, _pattern in SCALARS.items():
    # None: whatever the first character is.
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), None)


def read_value(text: str, place: str) -> Any:
    """Returns the value of a scalar or of a list in brackets.

    Args:
        text: YAML.
        place: Where the text stands, for the error.

    Raises:
        KakusanError: It is no YAML.
    """
    return _construct(text, place)[1]


def read_document(
    text: str, name: str, example: str = "data: {source: digits}"
) -> tuple[dict[str, Any], dict[Path, str]]:
    """Returns the sections of a document, and where each of them and each of their fields stands.

    Args:
        text: YAML, a mapping of sections.
        name: What the text is called in errors.
        example: A section, for who gave none.

    Returns:
        The raw mapping; and by path ``"name:line"``, the bare name under the empty path.

    Raises:
        KakusanError: It is no YAML, no mapping, or names something twice.
    """
    root, values = _construct(text, name)
    if not isinstance(values, dict):
        raise KakusanError(f"{name}: a configuration is a mapping of sections, such as {example}")
    places: dict[Path, str] = {(): name}
    _mark(root, (), name, places)
    return values, places


def _construct(text: str, place: str) -> tuple[Node | None, Any]:
    try:
        loader = Loader(text)
        root = loader.get_single_node()
        return root, None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{place}:{mark.line + 1}" if mark is not None and "\n" in text else place
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        raise KakusanError(f"{where}: this is no valid YAML: {problem}") from error


def _mark(node: Node | None, path: Path, name: str, places: dict[Path, str]) -> None:
    """Notes the place of every section and field below ``node``."""
    if not isinstance(node, MappingNode) or len(path) == 2:
        return
    for key, value in node.value:
        place = f"{name}:{key.start_mark.line + 1}"
        if key.tag != "tag:yaml.org,2002:str":
            raise KakusanError(f"{place}: a name is text, not {key.value!r}: put it in quotes if it is meant so")
        below = (*path, key.value)
        if below in places:
            raise KakusanError(f"{place}: {'.'.join(below)} stands here and at {places[below]}: remove one")
        places[below] = place
        _mark(value, below, name, places)
