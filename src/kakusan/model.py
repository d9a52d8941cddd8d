"""A model: a denoiser together with what turns its tensors into pictures and a person's wishes into conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kakusan.codec import Codec
from kakusan.condition import NULL_WORD, Condition, Labels, one_an_image
from kakusan.config.models import Sampling
from kakusan.denoiser import Denoiser
from kakusan.devices import device_of
from kakusan.errors import KakusanError, counted, unknown
from kakusan.words import Words


@dataclass(frozen=True)
class Model:
    """What :func:`kakusan.load` returns and :func:`kakusan.sample` takes.

    Attributes:
        denoiser: Network, schedule and parametrization.
        shape: (C, H, W) of its pictures.
        codec: What brings them to the latents that its denoiser works on, and back; None where that works on pixels.
        words: The vocabulary of what it is told in words; None for a model that reads none.
        class_names: Name of every class, in the order of the labels; empty for an unconditional model.
        sampling: How its pictures are drawn unless told otherwise.
        source: Where the weights came from, for people: run, images seen, EMA or raw.
        images: Images that its weights had seen; 0 for a model of no run.
        weights_from: ``"ema"`` or ``"raw"``; empty for a model of no run.
        weights_hash: SHA-256 of the weights' file; empty for a model that was never saved.
    """

    denoiser: Denoiser = field(repr=False)
    shape: tuple[int, int, int]
    class_names: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    codec: Codec | None = None
    words: Words | None = None
    source: str = ""
    images: int = 0
    weights_from: str = ""
    weights_hash: str = ""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """The shape of what its denoiser works on."""
        return self.shape if self.codec is None else self.codec.latent_shape

    @property
    def network(self) -> nn.Module:
        """That of its denoiser."""
        return self.denoiser.network

    @property
    def parameters(self) -> int:
        """How many weights its network has."""
        return sum(weight.numel() for weight in self.denoiser.parameters())

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return device_of(self.denoiser)

    def condition(self, labels: Labels | None, n: int, prompts: str | Sequence[str] | None = None) -> Condition | None:
        """Returns the conditions of ``n`` images.

        Args:
            labels: One an image, as numbers or class names, or one for all of them; −1 asks for no class; None gives
                each class in turn.
            prompts: What each is to show in words, or what all are; an empty one asks for nothing. None gives
                captions that it learned from, in turn.

        Raises:
            KakusanError: The model has no classes or reads no text, a label is unknown, or there are not ``n`` of them.
        """
        if labels is not None and not self.class_names:
            raise KakusanError("this model has no classes to choose among (leave labels out)")
        if prompts is not None and self.words is None:
            raise KakusanError("this model reads no text (leave prompts out, or train with network.text_conditional)")
        if not self.class_names and self.words is None:
            return None
        return Condition(self._labels(labels, n), self._words(prompts, n))

    def _labels(self, labels: Labels | None, n: int) -> Tensor | None:
        if not self.class_names:
            return None
        if labels is None:
            labels = [i % len(self.class_names) for i in range(n)]
        return torch.tensor([self._label(label) for label in one_an_image(labels, n)], dtype=torch.int64)

    def _words(self, prompts: str | Sequence[str] | None, n: int) -> Tensor | None:
        if self.words is None:
            return None
        if prompts is None:
            if not self.words.examples:
                raise KakusanError("this model keeps no captions to draw from: say what it shall draw (prompts)")
            prompts = [self.words.examples[i % len(self.words.examples)] for i in range(n)]
        each = [prompts] * n if isinstance(prompts, str) else list(prompts)
        if len(each) != n:
            raise KakusanError(
                f"{counted(n, 'image')} are told by as many prompts, or by one for all, not by {len(each)}"
            )
        for prompt in each:
            if not isinstance(prompt, str):
                raise KakusanError(f"a prompt says in words what to draw, and {prompt!r} is none")
        silent = torch.tensor([not prompt.strip() for prompt in each])
        return self.words(each).masked_fill(silent[:, None], NULL_WORD)

    def _label(self, label: int | str) -> int:
        """Returns the index of a class given as a name or as a number; a name that is a number counts as the name."""
        if isinstance(label, str):
            if label in self.class_names:
                return self.class_names.index(label)
            if not label.removeprefix("-").isdecimal():
                raise unknown("class", label, self.class_names)
        last = len(self.class_names) - 1
        if not -1 <= int(label) <= last:
            raise KakusanError(
                f"labels must lie between 0 and {last} (or be -1, no class), not {label} "
                f"(use one of these numbers, or a name such as {self.class_names[-1]!r})"
            )
        return int(label)
