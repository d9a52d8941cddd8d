"""Images of one's own get captions, from which a model can learn."""

from __future__ import annotations

from pathlib import Path

from kakusan.data import captioning
from kakusan.data.captioning import Captions
from kakusan.interop.captioning import captioner


def caption(
    directory: str | Path,
    *,
    template: str | None = None,
    model: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
    show: bool = True,
) -> Captions:
    """Writes a caption of every image of a folder into a ``metadata.jsonl`` there, whole or not at all.

    Args:
        directory: The folder; its sub-folders, if it has any, are the classes.
        template: What is said of each image: "a photo of {class}", with ``{name}`` for that of its file and
            ``{caption}`` for what the model says. None: what the model says alone.
        model: Who looks at them: the directory of a ``BlipForConditionalGeneration``, or ``"hub:OWNER/NAME"``.
        device: Where the model computes.
        overwrite: Replace captions that are there.
        show: Whether to show progress.

    Raises:
        KakusanError: Something asked for cannot be had; nothing is written.
    """
    asked = captioning.asked(directory, template, looks=model is not None, overwrite=overwrite)
    return captioning.written(asked, None if model is None else captioner(model, device), show)
