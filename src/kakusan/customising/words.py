"""New words of a pipeline: rows beside its embeddings, which alone learn (textual inversion)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kakusan.config.models import Embedding
from kakusan.errors import KakusanError
from kakusan.stable_diffusion import readers


class Extended(nn.Module):
    """An embedding with a few rows more, which alone learn.

    Args:
        known: The embedding, which stays as it is.
        new: The rows, float32, shape (K, D).
    """

    def __init__(self, known: nn.Embedding, new: Tensor) -> None:
        super().__init__()
        self.known = known.requires_grad_(False)
        # A module, so that it comes after the known rows: a text encoder is of the precision of its first weight.
        self.new = nn.Embedding(len(new), new.shape[1], _weight=new)

    def forward(self, numbers: Tensor) -> Tensor:
        """Returns the rows of ``numbers``, int64 of any shape (*): (*, D)."""
        count = self.known.num_embeddings
        rows: Tensor = self.known(numbers.clamp(max=count - 1))
        fresh = self.new((numbers - count).clamp(min=0)).to(rows.dtype)
        return torch.where((numbers >= count)[..., None], fresh, rows)


def learn_word(pipe: Any, settings: Embedding, name: str) -> None:
    """Gives every text encoder of a pipeline a new word, whose vectors learn.

    Args:
        pipe: The pipeline; it is changed.
        settings: Which word, of how many vectors, and what it begins with.
        name: What the pipeline is called, for people.

    Raises:
        KakusanError: The word is known already, or what it begins with is none.

    Source: Gal et al., "An Image is Worth One Word", 2022.
    """
    for tokenizer, encoder in readers(pipe):
        pieces = pieces_of(settings)
        if known := [it for it in pieces if _is_known(tokenizer, it)]:
            raise KakusanError(
                f"network.token: {known[0]!r} is a word of {name} already (choose one that is none, such as <sks>)"
            )
        old: nn.Embedding = encoder.get_input_embeddings()
        begun = _begun_with(tokenizer, old, settings)
        # Those of a tokenizer whose numbers have gaps would be rows that are not there.
        if tokenizer.add_tokens(pieces) != len(pieces) or tokenizer.convert_tokens_to_ids(pieces) != list(
            range(old.num_embeddings, old.num_embeddings + len(pieces))
        ):
            raise KakusanError(
                f"the tokenizer of {name} has {len(tokenizer) - len(pieces)} words, and its text encoder "
                f"{old.num_embeddings}: a new word has no place (give a pipeline in which they agree)"
            )
        encoder.set_input_embeddings(Extended(old, begun.float().clone()))


def _is_known(tokenizer: Any, word: str) -> bool:
    """Whether a tokenizer has a word, or one piece of a word of this name."""
    numbers = tokenizer(word, add_special_tokens=False).input_ids
    return word in tokenizer.get_vocab() or (len(numbers) == 1 and numbers != [tokenizer.unk_token_id])


def pieces_of(settings: Embedding) -> list[str]:
    """Returns the words that the new one stands for, named as diffusers takes them for one."""
    return [settings.token, *(f"{settings.token}_{number}" for number in range(1, settings.vectors))]


def _begun_with(tokenizer: Any, embedding: nn.Embedding, settings: Embedding) -> Tensor:
    """Returns with what the vectors begin, shape (K, D)."""
    weight = embedding.weight.detach()
    if settings.begun_with is None:
        return weight.float().mean(0).expand(settings.vectors, -1)
    numbers = tokenizer(settings.begun_with, add_special_tokens=False).input_ids
    if not numbers:
        raise KakusanError(f"network.begun_with: {settings.begun_with!r} is no word (name what it is like: toy, say)")
    return weight[numbers].float().mean(0).expand(settings.vectors, -1)
