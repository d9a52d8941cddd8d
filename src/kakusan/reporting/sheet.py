"""Contact sheets: tables of pictures, with what was varied down and across them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from kakusan.reporting.html import fragment
from kakusan.reporting.language import Language
from kakusan.trials import Sheet


def below_each_other(say: Language, sheets: Sequence[Sheet]) -> Markup:
    """Returns sheets, a table each; a picture is as large as it comes."""
    return Markup("").join(_table(say, it) for it in sheets)


def _table(say: Language, sheet: Sheet) -> Markup:
    rows = zip(sheet.rows, sheet.pictures, strict=True)
    return fragment(
        "sheet.html.jinja",
        say,
        sheet=sheet,
        axes=[_named(say, axis) for axis in sheet.axes],
        rows=[(name, list(zip(sheet.columns, cells, strict=True))) for name, cells in rows],
        across=math.isqrt(len(sheet.pictures[0][0]) - 1) + 1,
    )


def _named(say: Language, axis: str) -> str:
    return say(f"axis.{axis}") if say.knows(f"axis.{axis}") else axis
