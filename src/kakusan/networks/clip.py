"""CLIP: two towers that map pictures and captions to one space, where those that belong together point the same way."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakusan.errors import KakusanError
from kakusan.networks.attention import Layer
from kakusan.networks.text import TextEncoder


class ImageEncoder(nn.Module):
    """Maps a picture, cut into squares, to one vector.

    Args:
        in_channels: Channels of the pictures.
        size: Their side.
        patch: Side of a square.
        width: Width of the vectors inside and of what comes out.
        layers: Layers of its transformer.
        heads: Heads of their attention.

    Raises:
        KakusanError: Squares do not fit the picture, or heads the width.

    Source: Dosovitskiy et al., "An Image is Worth 16×16 Words", 2021, in the form of Radford et al., 2021.
    """

    def __init__(
        self, in_channels: int, *, size: int, patch: int = 4, width: int = 128, layers: int = 4, heads: int = 4
    ) -> None:
        super().__init__()
        if patch < 1 or size % patch:
            raise KakusanError(f"squares of {patch} pixels do not fit pictures of {size}: the side must be a multiple")
        if width % heads:
            raise KakusanError(f"heads must divide the width of the image encoder, but {heads} does not divide {width}")
        self.in_channels, self.size, self.patch, self.width = in_channels, size, patch, width
        self.layers, self.heads = layers, heads
        self.whole = nn.Parameter(torch.randn(width) * width**-0.5)
        self.squares = nn.Conv2d(in_channels, width, patch, stride=patch, bias=False)
        self.places = nn.Embedding((size // patch) ** 2 + 1, width)
        self.before = nn.LayerNorm(width)
        self.stack = nn.ModuleList([Layer(width, heads, causal=False) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.places.weight, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Returns vectors, shape (B, width), of ``images``, in [−1, 1], shape (B, in_channels, size, size).

        Raises:
            KakusanError: They are of another shape.
        """
        if images.shape[1:] != (self.in_channels, self.size, self.size):
            shape = (self.in_channels, self.size, self.size)
            raise KakusanError(f"this CLIP sees images of shape {shape}, not {tuple(images.shape[1:])}")
        squares = self.squares(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.whole.to(squares).expand(len(images), 1, -1), squares], dim=1) + self.places.weight
        x = self.before(x)
        for layer in self.stack:
            x = layer(x)
        y: Tensor = self.norm(x[:, 0])
        return y


class CLIP(nn.Module):
    """Both towers, and how sharply they tell what belongs together.

    Its weights convert to and from transformers' ``CLIPModel`` (:mod:`kakusan.interop.text`).

    Args:
        text: The text encoder.
        image: The image encoder.
        width: Width of the space that both map to.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.
    """

    def __init__(self, text: TextEncoder, image: ImageEncoder, width: int) -> None:
        super().__init__()
        self.width = width
        self.text, self.image = text, image
        self.from_text = nn.Linear(text.width, width, bias=False)
        self.from_image = nn.Linear(image.width, width, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by to become logits."""
        return self.log_scale.exp()

    def of_images(self, images: Tensor) -> Tensor:
        """Returns unit vectors, shape (B, width), of ``images``, in [−1, 1], shape (B, C, H, H)."""
        return functional.normalize(self.from_image(self.image(images)), dim=1)

    def of_words(self, words: Tensor) -> Tensor:
        """Returns unit vectors, shape (B, width), of captions by number, int64, shape (B, L): where they end, all of
        them has been read."""
        read = self.text(words)
        last = (words == self.text.end).int().argmax(1).where((words >= 0).any(1), 1)
        return functional.normalize(self.from_text(read[torch.arange(len(words), device=read.device), last]), dim=1)

    def forward(self, images: Tensor, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the unit vectors of images and of captions, shape (B, width) each, and the scale of their cosines."""
        return self.of_images(images), self.of_words(words), self.scale
