"""Captions as numbers and back: a byte-level vocabulary that was found in captions, in the layout of CLIP's."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kakusan.config.models import LEAST_VOCABULARY
from kakusan.errors import KakusanError
from kakusan.files import atomic_write

if TYPE_CHECKING:
    from tokenizers import Tokenizer

START, END = "<|startoftext|>", "<|endoftext|>"

_FORMAT = "kakusan words 1"
_LAST = "</w>"  # what marks the end of a word
_PARTS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_WORD = re.compile(r"[^\W\d_]{2,}|[^\x00-\x7f]")  # a sign beyond ASCII may be a word by itself


@dataclass(frozen=True, eq=False)
class Words:
    """A vocabulary. Captions are brought to lower case and cut into words, and these into the longest pieces it has;
    of single bytes it has all, so that nothing is unknown to it.

    Attributes:
        pieces: Its pieces, in the order of their numbers; the last two are the ends of a caption.
        merges: Which two pieces are joined, the most frequent first.
        length: Numbers of a caption, both ends among them: longer ones are cut, shorter ones filled with the end.
        known: The words of the captions that it was found in.
        examples: Some of these captions.

    Source: Sennrich, Haddow & Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016; the layout is
    that of Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.
    """

    pieces: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    length: int
    known: frozenset[str] = frozenset()
    examples: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pieces)

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """Returns the numbers of captions, int64, shape (N, length)."""
        return self.read_all(captions)[0]

    def too_long(self, captions: Sequence[str]) -> list[int]:
        """Returns which captions are cut, by their place."""
        return self.read_all(captions)[1]

    def read_all(self, captions: Sequence[str]) -> tuple[Tensor, list[int]]:
        """Returns the numbers of captions, int64, shape (N, length), and which of them are cut, by their place."""
        read = self._tokenizer.encode_batch(list(captions))
        numbers = torch.tensor([it.ids for it in read], dtype=torch.int64)
        return numbers, [place for place, it in enumerate(read) if it.overflowing]

    def unknown(self, caption: str) -> list[str]:
        """Returns the words of a caption that those it was found in never held, each once; none if these are not
        known."""
        named = dict.fromkeys(_WORD.findall(caption.lower()))
        return [word for word in named if word not in self.known] if self.known else []

    def remarks_on(self, *prompts: str) -> list[str]:
        """Returns what is to be said of prompts: of words that the captions it was found in never held, and of what is
        cut, each once."""
        remarks = self.remarks_on_words(*prompts)
        if cut := self.too_long(prompts):
            remarks.append(f"longer than {self.length - 2} pieces of words, and cut: {prompts[cut[0]][:80]!r}")
        return remarks

    def remarks_on_words(self, *prompts: str) -> list[str]:
        """Returns what is to be said of words that the captions it was found in never held, once."""
        strange = dict.fromkeys(word for prompt in prompts for word in self.unknown(prompt))
        return [f"no caption that was learned from says {', '.join(strange)}"] if strange else []

    def seen_in(self, captions: Sequence[str], examples: int = 16) -> Words:
        """Returns the same vocabulary that knows the words of other captions, and keeps some of these as examples,
        different ones spread evenly."""
        different = list(dict.fromkeys(captions))
        known = {word for caption in different for word in _WORD.findall(caption.lower())}
        shown = different[:: max(1, len(different) // examples)][:examples]
        return replace(self, known=frozenset(known), examples=tuple(shown))

    def write(self, path: Path) -> None:
        """Keeps it in a file.

        Raises:
            KakusanError: The disk refuses it.
        """
        told = {
            "format": _FORMAT,
            "length": self.length,
            "pieces": self.pieces,
            "merges": self.merges,
            "known": sorted(self.known),
            "examples": self.examples,
        }
        atomic_write(path, json.dumps(told, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Words:
        """Returns the vocabulary of a file that :meth:`write` wrote.

        Raises:
            KakusanError: It is missing, damaged, or something else.
        """
        try:
            told = json.loads(path.read_text("utf-8"))
            if told["format"] != _FORMAT:
                raise ValueError(f"it is of the format {told['format']}")
            merges = tuple((left, right) for left, right in told["merges"])
            examples = tuple(told["examples"])
            return cls(tuple(told["pieces"]), merges, int(told["length"]), frozenset(told["known"]), examples)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KakusanError(f"{path} holds no vocabulary that can be read: {error} (put it back)") from error

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer, models, processors

        numbers = {piece: number for number, piece in enumerate(self.pieces)}
        model = models.BPE(numbers, list(self.merges), end_of_word_suffix=_LAST, unk_token=END, fuse_unk=False)
        made = _cutting(Tokenizer(model))
        made.add_special_tokens([START, END])
        ends = (END, numbers[END]), (START, numbers[START])
        made.post_processor = processors.RobertaProcessing(*ends, trim_offsets=False, add_prefix_space=False)
        made.enable_truncation(self.length)
        made.enable_padding(length=self.length, pad_id=numbers[END], pad_token=END)
        return made


def found_in(captions: Sequence[str], most: int, length: int) -> Words:
    """Returns the vocabulary of captions: what is frequent in them is a piece of its own.

    Args:
        captions: What is said of images.
        most: Pieces that it has at most.
        length: As of :class:`Words`.

    Raises:
        KakusanError: It is to have fewer pieces than every vocabulary has, or a length without room for a word.
    """
    if most < LEAST_VOCABULARY or length < 3:
        raise KakusanError(
            f"a vocabulary has at least {LEAST_VOCABULARY} pieces and captions of at least 3, not {most} and {length}"
        )
    from tokenizers import Tokenizer, models, pre_tokenizers

    cutting = _cutting(Tokenizer(models.BPE()))
    count: Counter[str] = Counter()
    for caption, often in Counter(captions).items():
        text = cutting.normalizer.normalize_str(caption)
        for word, _ in cutting.pre_tokenizer.pre_tokenize_str(text):
            count[word] += often
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _merges(count, most - LEAST_VOCABULARY)
    pieces = [*alphabet, *(it + _LAST for it in alphabet), *(left + right for left, right in merges), START, END]
    return Words(tuple(pieces), tuple(merges), length).seen_in(captions)


def _merges(words: Mapping[str, int], most: int) -> list[tuple[str, str]]:
    """Returns which two pieces are joined, the most frequent first and of equally frequent ones the first by alphabet,
    so that the same words always give the same; what stands in one word only once is not worth a piece.

    Args:
        words: How often each occurs.
        most: Joins, at most.
    """
    cut = {word: [*word[:-1], word[-1] + _LAST] for word in words}
    count: Counter[tuple[str, str]] = Counter()
    where: dict[tuple[str, str], set[str]] = {}
    for word, parts in cut.items():
        for pair in pairwise(parts):
            count[pair] += words[word]
            where.setdefault(pair, set()).add(word)
    waiting = [(-often, pair) for pair, often in count.items()]
    heapify(waiting)
    merges: list[tuple[str, str]] = []
    while waiting and len(merges) < most:
        often, pair = heappop(waiting)
        if -often != count[pair] or -often < 2:  # it was counted anew since then, or is not worth it
            continue
        merges.append(pair)
        changed = set()
        for word in where.pop(pair):
            before = cut[word]
            cut[word] = after = _joined(before, pair)
            for old in pairwise(before):
                count[old] -= words[word]
                changed.add(old)
            for new in pairwise(after):
                count[new] += words[word]
                where.setdefault(new, set()).add(word)
                changed.add(new)
        for it in changed:
            heappush(waiting, (-count[it], it))
    return merges


def _joined(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """Returns the parts of a word with every occurrence of a pair joined, from the left."""
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def of_clip(vocabulary: Mapping[str, int], merges: Sequence[str | Sequence[str]], length: int) -> Words:
    """Returns the vocabulary of a tokenizer in the layout of CLIP's.

    Args:
        vocabulary: The number of every piece.
        merges: Which two pieces are joined, in a text with a space between, or in a sequence.
        length: As of :class:`Words`.

    Raises:
        KakusanError: Numbers are missing, or the ends of a caption are not the last of them.
    """
    pieces = tuple(sorted(vocabulary, key=vocabulary.__getitem__))
    if pieces[-2:] != (START, END) or sorted(vocabulary.values()) != list(range(len(pieces))):
        raise KakusanError(
            f"a tokenizer whose last numbers are not those of {START} and {END} is not in the layout of CLIP's"
        )
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in merges)
    return Words(pieces, tuple((left, right) for left, right in pairs), length)


def _cutting(tokenizer: Tokenizer) -> Tokenizer:
    """Returns a tokenizer that cuts captions into words as CLIP's does."""
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers

    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    cut = pre_tokenizers.Split(Regex(_PARTS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
