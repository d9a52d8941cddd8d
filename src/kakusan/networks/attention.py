"""Attention: of a picture's pixels to each other, of words to words, and of pixels to words."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakusan.networks.recomputed import Recomputed


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, *, causal: bool = False) -> Tensor:
    r"""Returns :math:`\mathrm{softmax}(Q K^\top / \sqrt{d})\, V` of every head, side by side.

    Args:
        query: Shape (B, N, C).
        key, value: Shape (B, M, C).
        heads: How many share the C channels.
        causal: Whether the n-th query sees the first n keys alone.

    Returns:
        Shape (B, N, C).

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.
    """
    query, key, value = (it.view(*it.shape[:2], heads, -1).transpose(1, 2) for it in (query, key, value))
    seen = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    return seen.transpose(1, 2).flatten(2)


class MultiHead(nn.Module):
    """Every entry of a sequence looks at all of another one, or of its own.

    Args:
        width: Width of the entries that look, and of what comes out.
        seen: Width of the entries that are looked at.
        heads: How many heads share the width.
        bias: Whether queries, keys and values have one.
        causal: Whether an entry sees none that comes after it.
    """

    def __init__(self, width: int, seen: int, heads: int, *, bias: bool = True, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query = nn.Linear(width, width, bias)
        self.key = nn.Linear(seen, width, bias)
        self.value = nn.Linear(seen, width, bias)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Returns (B, N, width) from ``x``, (B, N, width), that looks at ``seen``, (B, M, seen)."""
        looked = attend(self.query(x), self.key(seen), self.value(seen), self.heads, causal=self.causal)
        change: Tensor = self.output(looked)
        return change


class GatedFeedForward(nn.Module):
    r"""Two layers with a gate, :math:`W_2 (a \cdot \mathrm{gelu}(b))`, where :math:`(a, b) = W_1 x` is eight times as
    wide.

    Source: Shazeer, "GLU Variants Improve Transformer", 2020.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, 8 * width)
        self.output = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, N, width) from ``x`` of the same shape."""
        a, b = self.gate(x).chunk(2, dim=2)
        y: Tensor = self.output(a * functional.gelu(b))
        return y


class TextAttention(nn.Module):
    """Pixels look at each other, then at the words of a caption, each within a transformer's block beside a shortcut.

    Args:
        channels: Channels of input and output.
        text_width: Width of the words.
        heads: How many heads share the channels.
        groups: Groups of the normalisation.

    Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022, appendix E.2.1.
    """

    def __init__(self, channels: int, text_width: int, *, heads: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.input = nn.Linear(channels, channels)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.pixels = MultiHead(channels, channels, heads, bias=False)
        self.words = MultiHead(channels, text_width, heads, bias=False)
        self.feed = GatedFeedForward(channels)
        self.output = nn.Linear(channels, channels)
        for parameter in self.output.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """Returns (B, C, H, W) from ``x`` of the same shape and ``words``, (B, L, text_width)."""
        h = self.input(self.norm(x).flatten(2).transpose(1, 2))  # (B, HW, C)
        own = self.norm1(h)
        h = h + self.pixels(own, own)
        h = h + self.words(self.norm2(h), words.to(h.dtype))
        h = h + self.feed(self.norm3(h))
        change: Tensor = self.output(h).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + change


class Layer(Recomputed):
    """A layer of a transformer: entries look at each other, then each goes through two layers of its own.

    Args:
        width: Width of the entries.
        heads: How many heads share it.
        causal: Whether an entry sees none that comes after it.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, section 2.4.
    """

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = MultiHead(width, width, heads, causal=causal)
        self.hidden = nn.Linear(width, 4 * width)
        self.output = nn.Linear(4 * width, width)

    def compute(self, x: Tensor) -> Tensor:
        """Returns (B, N, width) from ``x`` of the same shape."""
        own = self.norm1(x)
        x = x + self.attention(own, own)
        h = self.hidden(self.norm2(x))
        y: Tensor = x + self.output(h * torch.sigmoid(1.702 * h))  # CLIP's quick form of gelu
        return y
