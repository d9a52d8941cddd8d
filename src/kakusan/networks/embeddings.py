"""What the blocks of a U-Net are told besides the image: the time on the clock, and the class."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakusan.condition import NULL_LABEL


def sinusoidal_embedding(clock: Tensor, width: int, freq_shift: int = 1) -> Tensor:
    r"""Returns sines, then cosines, of a clock at frequencies that fall geometrically from 1 to 10⁻⁴.

    .. math:: \omega_k = 10^{-4 k / (h - s)}, \qquad k = 0 \dots h - 1, \qquad h = \lfloor \text{width} / 2 \rfloor

    An odd width ends in a zero.

    Args:
        clock: One number an image, shape (B,); a chain's index is the usual unit.
        width: Length of the embedding.
        freq_shift: s; 1, or 0, with which the last frequency lies a step above 10⁻⁴.

    Returns:
        float32, shape (B, width).

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.5, in the layout of Ho, Jain & Abbeel, 2020.
    """
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=clock.device) / max(half - freq_shift, 1)
    angles = clock.float()[:, None] * torch.exp(-math.log(1e4) * exponents)
    return functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width % 2))


class TimeEmbedding(nn.Module):
    """Sinusoid of the clock, then a perceptron of one hidden layer.

    Args:
        frequencies: Length of the sinusoidal embedding.
        width: Length of the hidden layer and of what comes out.
        freq_shift: As in :func:`sinusoidal_embedding`.
    """

    def __init__(self, frequencies: int, width: int, freq_shift: int = 1) -> None:
        super().__init__()
        self.frequencies, self.freq_shift = frequencies, freq_shift
        self.linear1 = nn.Linear(frequencies, width)
        self.linear2 = nn.Linear(width, width)

    def forward(self, clock: Tensor) -> Tensor:
        """Returns the embedding, shape (B, width), of a ``clock`` of shape (B,)."""
        waves = sinusoidal_embedding(clock, self.frequencies, self.freq_shift).to(self.linear1.weight.dtype)
        embedding: Tensor = self.linear2(functional.silu(self.linear1(waves)))
        return embedding


class ClassEmbedding(nn.Embedding):
    """A learned vector for each class, and one more, the last, for the null class.

    Args:
        classes: How many classes there are, the null class not counted.
        width: Length of a vector.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__(classes + 1, width)

    def forward(self, labels: Tensor) -> Tensor:
        """Returns vectors, shape (B, width), of ``labels``, int64 of shape (B,); -1 is the null class."""
        null = self.num_embeddings - 1
        # A label one too high would pass for the null class: sent one further, it is an error.
        rows = torch.where(labels >= null, labels + 1, labels)
        return super().forward(rows.masked_fill(labels == NULL_LABEL, null))
