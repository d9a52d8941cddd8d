"""The parts that U-Net and autoencoder are made of: residual block, self-attention, half and twice the resolution."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakusan.networks.attention import TextAttention, attend
from kakusan.networks.recomputed import Recomputed


def zero_init(layer: nn.Conv2d | nn.Linear) -> None:
    """Sets a layer to zero, so that the branch it ends adds nothing until training asks for it."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class ResidualBlock(nn.Module):
    r"""Two convolutions beside a shortcut; time, where there is any, enters between them.

    .. math:: h = \mathrm{conv}_1(\mathrm{silu}(\mathrm{norm}_1(x))), \qquad
              y = \mathrm{shortcut}(x) + \mathrm{conv}_2(\mathrm{silu}(m)), \qquad
              m = \mathrm{norm}_2(h + \tau) \ \text{ or } \ \mathrm{norm}_2(h) (1 + s) + \tau

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; where they differ the shortcut is a convolution of size 1.
        groups: Groups of both normalisations.
        eps: What the normalisations add to the variance.
        time_width: Length of the embedding of time; None where nothing depends on time.
        dropout: Probability of dropping a value before the second convolution.
        scale_shift: Whether time scales and shifts after the second normalisation, or is added before it.

    Source: Ho, Jain & Abbeel, 2020, appendix B; scale and shift: Nichol & Dhariwal, 2021.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        groups: int,
        eps: float,
        time_width: int | None = None,
        dropout: float = 0.0,
        scale_shift: bool = False,
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        width = 2 * out_channels if scale_shift else out_channels
        self.time = None if time_width is None else nn.Linear(time_width, width)
        self.norm2 = nn.GroupNorm(groups, out_channels, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        zero_init(self.conv2)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Returns (B, out, H, W) from ``x``, (B, in, H, W), and the activated embedding of ``time``, (B, width)."""
        h = self.conv1(functional.silu(self.norm1(x)))
        told = None if self.time is None else self.time(time)[:, :, None, None]
        if told is None:
            h = self.norm2(h)
        elif self.scale_shift:
            scale, shift = told.chunk(2, dim=1)
            h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        else:
            h = self.norm2(h + told)
        y: Tensor = self.shortcut(x) + self.conv2(self.dropout(functional.silu(h)))
        return y


class Attention(nn.Module):
    r"""Every pixel looks at every other one, and adds what it saw.

    .. math:: y = x + W_o\, \mathrm{softmax}(Q K^\top / \sqrt{d})\, V

    Args:
        channels: Channels of input and output.
        heads: How many heads share them.
        groups: Groups of the normalisation.
        eps: What the normalisation adds to the variance.

    Source: Ho, Jain & Abbeel, 2020, appendix B; several heads: Nichol & Dhariwal, 2021, section 3.
    """

    def __init__(self, channels: int, *, heads: int, groups: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels, eps=eps)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        zero_init(self.output)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, C, H, W) from ``x`` of the same shape."""
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (B, HW, C)
        seen = attend(self.query(pixels), self.key(pixels), self.value(pixels), self.heads)  # (B, HW, C)
        change: Tensor = self.output(seen).transpose(1, 2).unflatten(2, x.shape[2:])  # (B, C, H, W)
        return x + change


class Stage(Recomputed):
    """A residual block, and attention after it where there is any."""

    def __init__(self, residual: ResidualBlock, attention: Attention | TextAttention | None) -> None:
        super().__init__()
        self.residual = residual
        self.attention = nn.Identity() if attention is None else attention

    def compute(self, x: Tensor, time: Tensor | None = None, words: Tensor | None = None) -> Tensor:
        """Returns (B, out, H, W) from ``x``, (B, in, H, W), the activated embedding of ``time``, (B, width), and the
        ``words`` of captions, (B, L, D), where it looks at any."""
        h = self.residual(x, time)
        y: Tensor = self.attention(h, words) if isinstance(self.attention, TextAttention) else self.attention(h)
        return y


class Downsample(nn.Conv2d):
    """Halves height and width by a convolution of size 3 and stride 2.

    Args:
        channels: Channels of input and output.
        padding: 0 pads at the right and at the bottom alone, 1 on all sides.
    """

    def __init__(self, channels: int, padding: int = 0) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, C, H / 2, W / 2) from ``x``, (B, C, H, W)."""
        return super().forward(x if self.padding[0] else functional.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Conv2d):
    """Doubles height and width by repeating pixels, and convolves the result with a kernel of size 3.

    Both in one: to repeat a pixel is to spread it with a box of 2 x 2, and box and kernel make one kernel of 4 x 4, a
    transposed convolution of stride 2. It multiplies less than half as often, 16 times a pixel of the input, not 36.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, C, 2 H, 2 W) from ``x``, (B, C, H, W)."""
        # A transposed convolution stamps its kernel where a convolution reads it: flipped, input channels first.
        kernel = functional.pad(self.weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))  # (in, out, 5, 5)
        kernel = kernel[:, :, 1:] + kernel[:, :, :-1]
        kernel = kernel[:, :, :, 1:] + kernel[:, :, :, :-1]  # (in, out, 4, 4)
        return functional.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)
