"""CLIP score: how well images agree with their captions, by torchmetrics' formula on OpenAI's CLIP."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError, counted
from kakusan.evaluation.average import average
from kakusan.evaluation.sources import Stored
from kakusan.progress import Bar
from kakusan.results import Measurement
from kakusan.weights import CLIP, obtain_repository

_CHUNK = 32


def measure_captions(
    images: ImageSet,
    *,
    weights: Path | None = None,
    offline: bool = False,
    device: torch.device,
    show: bool = True,
) -> Measurement:
    """Returns the CLIP score of images and the captions beside them: the mean of 100 times their embeddings' cosine.

    Args:
        images: Images with captions.
        weights: A place with a CLIP of the user's own.
        offline: Never touch the network of computers.
        device: Where to compute.
        show: Whether to show progress.

    Raises:
        KakusanError: Images have no captions, a library is not installed, or the weights are wanting.

    Source: Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning", 2021.
    """
    told = [index for index, caption in enumerate(images.captions) if caption.strip()]
    if not told:
        raise KakusanError(
            f"the CLIP score compares images with their captions, and those of {images.name} have none (put a .txt "
            "beside each image, or a metadata.jsonl)"
        )
    try:
        from torchmetrics.functional.multimodal.clip_score import _clip_score_update
        from transformers import CLIPModel, CLIPProcessor
    except ImportError as error:
        raise KakusanError(
            f"the CLIP score needs {error.name}, which is not installed (pip install 'kakusan[metrics]')"
        ) from error
    there = obtain_repository(CLIP, weights, offline=offline, show=show)
    try:
        clip, loaded = CLIPModel.from_pretrained(
            there.path, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
        if missing := loaded["missing_keys"]:  # which it would draw at random, with no more than a warning
            raise KeyError(f"{next(iter(missing))} is missing")
        model = _Embeds(clip).to(device)
        processor = CLIPProcessor.from_pretrained(there.path, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise KakusanError(f"{there.path} holds no whole CLIP: {error} (get it from {CLIP.url})") from error
    scores = []
    with Bar("measuring clip", len(told), show=show) as bar, torch.no_grad():
        for start in range(0, len(told), _CHUNK):
            part = told[start : start + _CHUNK]
            pixels = images.images[part].expand(-1, 3, -1, -1).to(device)
            each, _ = _clip_score_update(list(pixels), [images.captions[index] for index in part], model, processor)
            scores.append(each.double().cpu())
            bar.update(start + len(each))
    found, left = torch.cat(scores), len(images) - len(told)
    score = average(found)
    side = 224 if not hasattr(model.config, "vision_config") else model.config.vision_config.image_size
    return Measurement(
        metric="clip",
        value=max(0.0, score.value),
        interval=None if score.interval is None else (max(0.0, score.interval[0]), max(0.0, score.interval[1])),
        protocol={
            "metric": "clip",
            "n": len(found),
            **Stored(images).told,
            "features": f"clip {there.sha256[:8]}",
            "resize": f"as its processor does, to {side} pixels",
            "kakusan": version("kakusan"),
            "torch": torch.__version__,
            "torchmetrics": version("torchmetrics"),
            "transformers": version("transformers"),
        },
        remarks=[f"{counted(left, 'image')} of {images.name} have no caption and were left out"] if left else [],
    )


class _Embeds(nn.Module):
    """A CLIP whose embeddings are tensors, as torchmetrics expects, whatever transformers' version wraps them in.

    Args:
        clip: transformers' model.
    """

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip, self.config = clip.eval(), clip.config

    def get_image_features(self, *given: Tensor) -> Tensor:
        """Returns embeddings of pixels, shape (N, D)."""
        return _pooled(self.clip.get_image_features(*given))

    def get_text_features(self, *given: Tensor) -> Tensor:
        """Returns embeddings of tokens, shape (N, D)."""
        return _pooled(self.clip.get_text_features(*given))


def _pooled(found: Any) -> Tensor:
    pooled: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return pooled
