"""From transformers: who says in words what an image shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kakusan.config.names import HUB
from kakusan.devices import resolve
from kakusan.errors import KakusanError, optional, reason_of
from kakusan.interop.loading import quietly, whole
from kakusan.interop.pipelines import place_of

_BEAMS, _WORDS = 3, 20  # as they evaluate it themselves


class Captioner:
    """A BLIP that captions.

    Source: Li et al., "BLIP: Bootstrapping Language-Image Pre-training", 2022.

    Args:
        model: A ``BlipForConditionalGeneration``.
        processor: Its ``BlipProcessor``.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model.eval(), processor

    @torch.no_grad()
    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
        """Returns a caption of each picture, bytes of shape (3, H, W)."""
        with quietly():
            seen = self._processor.image_processor(
                list(pictures), input_data_format="channels_first", return_tensors="pt"
            )
            pixels = seen["pixel_values"].to(self._model.device, self._model.dtype)
            told = self._model.generate(pixel_values=pixels, num_beams=_BEAMS, max_new_tokens=_WORDS)
            texts = self._processor.tokenizer.batch_decode(told, skip_special_tokens=True)
        return [text.strip() for text in texts]


def captioner(name: str, device: str = "auto") -> Captioner:
    """Returns who captions, by the path of a directory, or ``"hub:OWNER/NAME"``; nothing is unpickled.

    Raises:
        KakusanError: transformers is not installed, there is no such model, it is of another kind, or its weights are
            not safetensors.
    """
    with optional("captioning", "diffusers"):
        from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor
    place = place_of(name)
    if place is None:
        hub = name if "/" in name else "OWNER/NAME"
        raise KakusanError(f"there is no directory {name} (check the path; a model of the hub is {HUB}{hub})")
    where = resolve(device)
    try:
        with quietly():
            kind = BlipConfig.get_config_dict(place)[0].get("model_type")
            if kind != "blip":
                raise ValueError(f"it is a model of kind {kind}")
            model = whole(BlipForConditionalGeneration.from_pretrained, place)
            processor = BlipProcessor.from_pretrained(place)
    # Of a file, of the hub, of a configuration: its errors have no common class.
    except Exception as error:
        raise KakusanError(
            f"{name} captions nothing: {reason_of(error)} (give the directory or the name of a "
            "BlipForConditionalGeneration with its BlipProcessor; pickles are not read, and where you trust them, its "
            "from_pretrained and save_pretrained make safetensors of them)"
        ) from error
    return Captioner(model.to(where, torch.float16 if where.type == "cuda" else torch.float32), processor)
