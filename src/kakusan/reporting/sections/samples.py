"""Samples, a row a class or a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from torch import Tensor

from kakusan.reporting import thumbnails
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language

_CLASSES, _ROWS, _COLUMNS = 20, 4, 10
_BYTES = 1_000_000  # of pixels, all samples together


def layout(classes: int, shape: Sequence[int]) -> tuple[int, int]:
    """Returns how many rows and columns of samples a page has room for.

    Args:
        classes: Classes of the model, of which at most the first 20 get a row; 0 for a model without any.
        shape: (C, H, W) of a picture.
    """
    rows = min(classes, _CLASSES) or _ROWS
    return rows, min(_COLUMNS, thumbnails.fitting(shape, _BYTES // rows))


def section(
    say: Language,
    samples: Tensor | None,
    class_names: Sequence[str],
    class_accuracy: float | None,
    prompts: Sequence[str] = (),
) -> Section | None:
    """Shows samples by class or by prompt.

    Args:
        say: The language.
        samples: Values in [-1, 1], shape (R, columns, C, H, W), a row each of the first R classes; None without any.
        class_names: The classes; a model without any has rows without names.
        class_accuracy: Share of such samples that is recognised; None where nobody measured it.
        prompts: What each row was told; empty where nothing was.
    """
    if samples is None:
        return None
    rows, columns = samples.shape[:2]
    classes = len(class_names)
    values = {"n": rows * columns, "rows": rows, "columns": columns, "classes": classes}
    kind = "prompts" if prompts else "classes" if class_names else "plain"
    which = "some" if rows < classes else kind
    title = say(f"samples.shown_{which}", **values)
    if class_accuracy is not None:
        title = say("samples.recognised", accuracy=class_accuracy)
    named = list(zip_longest(prompts or class_names[:rows], samples, fillvalue=""))
    figure = Figure(
        title=title,
        content=fragment("samples.html.jinja", say, rows=named, columns=columns),
        caption=say(f"samples.caption_{which}", **values),
        alt=say(f"samples.alt_{kind}", **values),
    )
    return Section("samples", say(f"samples.heading_{kind}"), figure)
