"""Samples, a row a class."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kakusan.errors import KakusanError
from kakusan.reporting.html import Figure, Section, fragment
from kakusan.reporting.language import Language


def section(say: Language, samples: Tensor, class_names: Sequence[str], class_accuracy: float | None) -> Section:
    """Shows samples by class.

    Args:
        say: The language.
        samples: Values in [-1, 1], shape (K·columns, C, H, W), one row a class.
        class_names: The K classes; a model without classes has one row without a name.
        class_accuracy: Share of such samples that is recognised; None where nobody measured it.

    Raises:
        KakusanError: The samples do not fill a row a class.
    """
    classes = max(1, len(class_names))
    columns, rest = divmod(len(samples), classes)
    if rest or not columns:
        raise KakusanError(f"{classes} rows of samples hold as many each, which {len(samples)} samples do not give")
    rows = samples.reshape(classes, columns, *samples.shape[1:])
    title = say("samples.shown", columns=columns)
    if class_accuracy is not None:
        title = say("samples.recognised", accuracy=class_accuracy)
    figure = Figure(
        title=title,
        content=fragment(
            "samples.html.jinja", say, rows=list(zip(class_names or [""], rows, strict=True)), columns=columns
        ),
        caption=say("samples.caption", columns=columns),
        alt=say("samples.alt", columns=columns, classes=classes),
    )
    return Section("samples", say("samples.heading"), figure)
