"""CLIP score: how well images agree with their captions, by torchmetrics' formula on OpenAI's CLIP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError, counted, optional
from kakusan.evaluation.average import average
from kakusan.evaluation.protocol import how_seen
from kakusan.interop.loading import whole
from kakusan.results import Measurement
from kakusan.sampling import Progress
from kakusan.seeing.seen import seen
from kakusan.seeing.sources import Stored
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
    require_captions(images, "the CLIP score")
    source = Captioned(images)
    clip = _Clip(weights, offline=offline, device=device, show=show)
    with seen(source, [clip], show) as stores:
        score = average(stores[clip.name]["score"].flatten().double())
    return Measurement(
        metric="clip",
        value=max(0.0, score.value),
        interval=None if score.interval is None else (max(0.0, score.interval[0]), max(0.0, score.interval[1])),
        protocol={
            "metric": "clip",
            "n": source.n,
            **source.provenance,
            **how_seen(clip),
        },
        remarks=left_out(images),
    )


def captioned(images: ImageSet) -> list[int]:
    """Returns the numbers of the images that have a caption."""
    return [place for place, caption in enumerate(images.captions) if caption.strip()]


def require_captions(images: ImageSet, metric: str) -> None:
    """Refuses images of which none has a caption, for a ``metric`` that compares them.

    Raises:
        KakusanError: None has.
    """
    if not captioned(images):
        raise KakusanError(
            f"{metric} compares images with their captions, and those of {images.name} have none (put a .txt beside "
            "each image, or a metadata.jsonl)"
        )


def left_out(images: ImageSet) -> list[str]:
    """Returns what is to be said of images without a caption."""
    left = len(images) - len(captioned(images))
    return [f"{counted(left, 'image')} of {images.name} have no caption and were left out"] if left else []


@dataclass(frozen=True)
class Captioned:
    """The images of a set that have a caption, with these.

    Attributes:
        images: The set.
    """

    images: ImageSet

    @cached_property
    def _which(self) -> Tensor:
        return torch.tensor(captioned(self.images), dtype=torch.int64)

    @property
    def name(self) -> str:
        return self.images.name

    @property
    def n(self) -> int:
        return len(self._which)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        captions = sha256(repr(self.images.captions).encode()).hexdigest()[:8]
        return {**Stored(self.images).provenance, "captions": captions}

    def chunks(self, done: int, progress: Progress | None = None) -> Iterator[tuple[Tensor, list[str]]]:
        """Yields images, uint8, shape (B, C, H, W), and their captions."""
        for part in torch.split(self._which[done:], _CHUNK):
            yield self.images.images[part], [self.images.captions[index] for index in part.tolist()]


class _Clip:
    """Sees how well each image agrees with its caption.

    Args:
        weights, offline, device, show: As in :func:`measure_captions`.

    Attributes:
        name, layers, resize, device, library: As of any seer.
    """

    layers: ClassVar[dict[str, int]] = {"score": 1}

    def __init__(self, weights: Path | None, *, offline: bool, device: torch.device, show: bool) -> None:
        with optional("the CLIP score", "metrics"):
            from torchmetrics.functional.multimodal.clip_score import _clip_score_update
            from transformers import CLIPModel, CLIPProcessor
        there = obtain_repository(CLIP, weights, offline=offline, show=show)
        try:
            clip = whole(CLIPModel.from_pretrained, there.path, local_files_only=True)
            self._model = _Embeds(clip).to(device)
            self._processor = CLIPProcessor.from_pretrained(there.path, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise KakusanError(f"{there.path} holds no whole CLIP: {error} (get it from {CLIP.url})") from error
        self._update, self.device = _clip_score_update, device
        self.name = f"clip {there.sha256[:8]}"
        side = getattr(getattr(clip.config, "vision_config", None), "image_size", 224)
        self.resize = f"as its processor does, to {side} pixels"
        self.library = f"torchmetrics {version('torchmetrics')}, transformers {version('transformers')}"

    @torch.no_grad()
    def __call__(self, images: Tensor, captions: list[str]) -> dict[str, Tensor]:
        """Returns the scores of images, uint8, shape (N, 1 or 3, H, W), with their captions: (N, 1)."""
        pixels = images.expand(-1, 3, -1, -1).to(self.device)
        scores, _ = self._update(list(pixels), captions, self._model, self._processor)
        return {"score": scores.float().cpu()[:, None]}


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
