"""A text encoder, and a U-Net that is told by one what to draw."""

import torch
from torch import Tensor, nn

from kakusan.condition import NULL_WORD, Condition
from kakusan.errors import KakusanError
from kakusan.networks.attention import Layer
from kakusan.networks.unet import UNet

_ROOM = 2**28  # numbers, of captions that were read and are remembered: a gibibyte of float32


class TextEncoder(nn.Module):
    """Maps the words of captions, as numbers, to a vector for every one of them.

    Its weights convert to and from transformers' ``CLIPTextModel`` (:mod:`kakusan.interop.text`).

    Args:
        vocabulary: How many words there are; the last two are the start and the end of a caption.
        length: Words of the longest caption, start and end among them.
        width: Width of the vectors.
        layers: Layers of its transformer.
        heads: Heads of their attention, which share the width.

    Raises:
        KakusanError: A number is out of its range, or heads do not divide the width.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.
    """

    def __init__(self, vocabulary: int, *, length: int = 32, width: int = 128, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        least = {"vocabulary": (vocabulary, 3), "length": (length, 3), "width": (width, 1), "layers": (layers, 1)}
        for name, (number, lowest) in {**least, "heads": (heads, 1)}.items():
            if number < lowest:
                raise KakusanError(f"{name} must be at least {lowest}, not {number}")
        if width % heads:
            raise KakusanError(f"heads must divide the width of the text encoder, but {heads} does not divide {width}")
        self.vocabulary, self.length, self.width, self.layers, self.heads = vocabulary, length, width, layers, heads
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        self.stack = nn.ModuleList([Layer(width, heads, causal=True) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.places.weight, std=0.01)

    @property
    def start(self) -> int:
        """The number of the word that every caption begins with."""
        return self.vocabulary - 2

    @property
    def end(self) -> int:
        """The number of the word that ends a caption and fills what is left of its length."""
        return self.vocabulary - 1

    def forward(self, words: Tensor) -> Tensor:
        """Returns a vector for every word, shape (B, L, width), from ``words``, int64 of shape (B, L), L ≤ length; a
        row of -1 is the caption that says nothing."""
        nothing = torch.full((words.shape[1],), self.end, device=words.device)
        nothing[0] = self.start
        x = self.words(torch.where(words == NULL_WORD, nothing, words)) + self.places.weight[: words.shape[1]]
        for layer in self.stack:
            x = layer(x)
        y: Tensor = self.norm(x)
        return y


class Captioned(nn.Module):
    """A U-Net with the text encoder that reads its captions, which learn together: one network.

    Args:
        unet: A U-Net with ``text_width``.
        text: The encoder, of that width.

    Raises:
        KakusanError: The widths differ.
    """

    def __init__(self, unet: UNet, text: TextEncoder) -> None:
        super().__init__()
        if unet.text_width != text.width:
            raise KakusanError(
                f"the U-Net reads words of width {unet.text_width}, and its text encoder writes them {text.width} wide "
                "(make both the same)"
            )
        self.unet, self.text = unet, text
        self._read: dict[bytes, Tensor] = {}

    def read(self, condition: Condition) -> Condition:
        """Returns the condition with its captions read, once for as many calls as follow."""
        if condition.words is None:
            return condition
        frozen = not any(weight.requires_grad for weight in self.text.parameters())
        tokens = self._remembered(condition.words) if frozen and self.training else self.text(condition.words)
        return Condition(condition.labels, tokens=tokens, repeats=condition.repeats)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def _remembered(self, words: Tensor) -> Tensor:
        """Returns what an encoder that learns no more makes of captions, each of which it reads once, as long as there
        is room."""
        keys = [row.tobytes() for row in words.cpu().numpy()]
        new = {key: place for place, key in enumerate(keys) if key not in self._read}
        if new:
            if len(self._read) * self.text.width * words.shape[1] > _ROOM:
                self._read.clear()
                new = {key: place for place, key in enumerate(keys)}
            found = self.text(words[list(new.values())])
            self._read.update(zip(new, found.unbind(), strict=True))
        return torch.stack([self._read[key] for key in keys])

    def forward(self, x: Tensor, clock: Tensor, condition: Condition | None = None) -> Tensor:
        """Returns the output for a batch.

        Args:
            x, clock: As in :meth:`UNet.forward`.
            condition: Captions, as words or as read already; without them, all say nothing.
        """
        if condition is None or (condition.words is None and condition.tokens is None):
            labels = None if condition is None else condition.labels
            words = torch.full((len(x), self.text.length), NULL_WORD, device=x.device)
            condition = Condition(labels, words=words)
        output: Tensor = self.unet(x, clock, self.read(condition))
        return output
