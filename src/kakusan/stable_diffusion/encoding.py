"""What a pipeline's text encoders make of prompts whose words count differently, or that are longer than they read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import ceil
from typing import Any

import torch
from torch import Tensor

from kakusan.errors import optional
from kakusan.interop.loading import quietly
from kakusan.stable_diffusion.emphasis import Fragment, fragments, plain

ENCODERS = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
"""What reads a prompt: of SDXL there are two, of its refiner the second."""


def readers(pipe: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the tokenizers of a pipeline, each with its text encoder."""
    for tokenizer, encoder in ENCODERS:
        if pipe.components.get(tokenizer) is not None:
            yield getattr(pipe, tokenizer), getattr(pipe, encoder)


def parts_of(pipe: Any, prompt: str) -> int:
    """Returns in how many parts the text encoders read a prompt: 1 where it fits."""
    text = plain(prompt)
    counts = [1]
    with quietly():
        for tokenizer, _ in readers(pipe):
            pieces = len(tokenizer(pipe.maybe_convert_prompt(text, tokenizer)).input_ids) - 2  # without both ends
            counts.append(ceil(pieces / (tokenizer.model_max_length - 2)))
    return max(counts)


class Prompts:
    """All prompts of a request, as a pipeline of diffusers takes them.

    Those that fit and in which all words count the same are handed over as they are; otherwise each is read in parts
    and weighed by compel, and all are brought to one length, so that no image depends on which are drawn beside it.

    Args:
        pipe: The pipeline.
        prompts: What is asked for.
        negative: What guidance leads away from.

    Attributes:
        whole: Whether all are handed over as they are.

    Raises:
        KakusanError: A bracket is without its other one, or compel is needed and not installed.
    """

    def __init__(self, pipe: Any, prompts: Sequence[str], negative: str | None) -> None:
        self._pipe, self._prompts, self._negative = pipe, tuple(prompts), negative
        said = [*self._prompts, *([] if negative is None else [negative])]
        self.whole = all(len(fragments(it)) == 1 and fragments(it)[0].weight == 1 for it in said)
        self.whole = self.whole and all(parts_of(pipe, it) == 1 for it in said)
        self._read: dict[str, tuple[Tensor, Tensor | None]] | None = None
        if not self.whole:
            with optional("a weighted or long prompt", "diffusers"):
                import compel  # noqa: F401 (asked for before anything is drawn)

    def of(self, images: Sequence[int]) -> dict[str, Any]:
        """Returns what a pipeline is told for some images: prompts repeat in turn."""
        prompts = [self._prompts[i % len(self._prompts)] for i in images]
        if self.whole:
            negatives = None if self._negative is None else [plain(self._negative)] * len(prompts)
            return {"prompt": [plain(it) for it in prompts], "negative_prompt": negatives}
        if self._read is None:
            self._read = self._all_read()
        told = self._told("", [self._read[it] for it in prompts])
        pipe = self._pipe
        if self._negative is None and pipe.config.get("force_zeros_for_empty_prompt"):
            return told
        return told | self._told("negative_", [self._read[self._negative or ""]] * len(prompts))

    @staticmethod
    def _told(prefix: str, read: Sequence[tuple[Tensor, Tensor | None]]) -> dict[str, Tensor]:
        told = {f"{prefix}prompt_embeds": torch.cat([tokens for tokens, _ in read])}
        pooled = [whole for _, whole in read if whole is not None]
        return told | ({f"{prefix}pooled_prompt_embeds": torch.cat(pooled)} if pooled else {})

    @torch.no_grad()
    def _all_read(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Returns what the encoders make of every prompt: (1, L, D), and of SDXL's (1, P) for the whole."""
        said = list(dict.fromkeys([*self._prompts, self._negative or ""]))
        with quietly():
            encodings = [_encoded(self._pipe, *reader, said) for reader in readers(self._pipe)]
            tokens = [torch.cat(its, dim=-1) for its in zip(*_level(encodings), strict=True)]
            return dict(zip(said, zip(tokens, map(self._pooled, said), strict=True), strict=True))

    def _pooled(self, prompt: str) -> Tensor | None:
        """Returns what SDXL is told of a prompt as a whole, which is read as far as it fits, all words alike."""
        if self._pipe.components.get("text_encoder_2") is None:
            return None
        found = self._pipe.encode_prompt(
            plain(prompt), device=self._pipe._execution_device, do_classifier_free_guidance=False
        )
        pooled: Tensor = found[2]
        return pooled


def _encoded(pipe: Any, tokenizer: Any, encoder: Any, prompts: Sequence[str]) -> tuple[Tensor, list[Tensor]]:
    """Returns what an encoder makes of nothing said, and of every prompt: (1, L, D), L a multiple of what it reads."""
    from compel import Compel, ReturnedEmbeddingsType
    from compel.prompt_parser import Conjunction, FlattenedPrompt

    kinds, twice = ReturnedEmbeddingsType, pipe.components.get("text_encoder_2") is not None
    made = Compel(
        tokenizer,
        encoder,
        truncate_long_prompts=False,
        device=str(pipe._execution_device),
        returned_embeddings_type=kinds.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
        if twice
        else kinds.LAST_HIDDEN_STATES_NORMALIZED,
    )

    def read(parts: Sequence[Fragment]) -> Tensor:
        told = [(pipe.maybe_convert_prompt(it.text, tokenizer), it.weight) for it in parts]
        found: Tensor = made.build_conditioning_tensor_for_conjunction(Conjunction([FlattenedPrompt(told)]))[0]
        return found

    return read([Fragment("")]), [read(fragments(it)) for it in prompts]


def _level(encodings: Sequence[tuple[Tensor, list[Tensor]]]) -> Iterator[list[Tensor]]:
    """Yields the encodings of every encoder, all filled to one length with what it makes of nothing said."""
    longest = max(it.shape[1] for it in chain.from_iterable(found for _, found in encodings))
    for nothing, found in encodings:
        yield [torch.cat([it, *[nothing] * ((longest - it.shape[1]) // nothing.shape[1])], dim=1) for it in found]
