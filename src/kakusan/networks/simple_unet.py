"""The U-Net of the chapter: three levels of plain blocks, no attention, and nothing to choose but its widths.

Names of classes and attributes are the chapter's, so that a checkpoint of its own listing loads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakusan.errors import KakusanError
from kakusan.networks.embeddings import sinusoidal_embedding
from kakusan.networks.recomputed import Recomputed
from kakusan.networks.sizes import check_images

_GROUPS = 8
_HALVINGS = 3


class SinusoidalPositionEmbeddings(nn.Module):
    """Sines, then cosines, of the time: :func:`~kakusan.networks.embeddings.sinusoidal_embedding` as a module.

    Args:
        dim: Length of the embedding.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, time: Tensor) -> Tensor:
        """Returns the embedding, shape (B, dim), of ``time``, shape (B,)."""
        return sinusoidal_embedding(time, self.dim)


class ResidualBlock(Recomputed):
    """Two convolutions, normalised after and not before; time is added in between, the input at the end.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, a multiple of 8.
        time_emb_dim: Length of the embedding of time.
    """

    def __init__(self, in_channels: int, out_channels: int, time_emb_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.time_mlp = nn.Linear(time_emb_dim, out_channels)
        self.residual_conv = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        self.norm1 = nn.GroupNorm(_GROUPS, out_channels)
        self.norm2 = nn.GroupNorm(_GROUPS, out_channels)

    def compute(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time_mlp(functional.silu(t))[:, :, None, None]
        h = functional.silu(self.norm1(self.conv1(x)) + time)
        residual: Tensor = self.residual_conv(x)
        return functional.silu(self.norm2(self.conv2(h))) + residual


class SimpleUNet(nn.Module):
    """Three levels down, three up, called ``model(x, t)``; unconditional.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the output.
        time_emb_dim: Length of the embedding of time, at least 2 and even.
        base_channels: Channels at full resolution, a multiple of 8; doubled at the second and third level.

    Raises:
        KakusanError: ``base_channels`` or ``time_emb_dim`` is not as said above.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, time_emb_dim: int = 256, base_channels: int = 64
    ) -> None:
        super().__init__()
        if base_channels < _GROUPS or base_channels % _GROUPS:
            raise KakusanError(f"base_channels must be a multiple of {_GROUPS}, not {base_channels}")
        if time_emb_dim < 2 or time_emb_dim % 2:
            raise KakusanError(f"time_emb_dim must be even and at least 2, not {time_emb_dim}")
        self.in_channels = in_channels
        c = base_channels
        self.time_mlp = nn.Sequential(
            SinusoidalPositionEmbeddings(time_emb_dim), nn.Linear(time_emb_dim, time_emb_dim), nn.SiLU()
        )
        self.down1 = ResidualBlock(in_channels, c, time_emb_dim)
        self.down2 = ResidualBlock(c, 2 * c, time_emb_dim)
        self.down3 = ResidualBlock(2 * c, 4 * c, time_emb_dim)
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = ResidualBlock(4 * c, 4 * c, time_emb_dim)
        self.up1 = nn.ConvTranspose2d(4 * c, 4 * c, 2, stride=2)
        self.up_block1 = ResidualBlock(8 * c, 2 * c, time_emb_dim)
        self.up2 = nn.ConvTranspose2d(2 * c, 2 * c, 2, stride=2)
        self.up_block2 = ResidualBlock(4 * c, c, time_emb_dim)
        self.up3 = nn.ConvTranspose2d(c, c, 2, stride=2)
        self.up_block3 = ResidualBlock(2 * c, c, time_emb_dim)
        self.out = nn.Conv2d(c, out_channels, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Returns the output for a batch.

        Args:
            x: Noisy images, shape (B, in_channels, H, W), H and W multiples of 8.
            t: Index in the chain, shape (B,), integers or floats.

        Returns:
            Shape (B, out_channels, H, W).

        Raises:
            KakusanError: The images do not fit.
        """
        check_images(x, self.in_channels, 2**_HALVINGS)
        time = self.time_mlp(t)
        x1 = self.down1(x, time)  # (B, c, H, W)
        x2 = self.down2(self.pool(x1), time)  # (B, 2c, H / 2, W / 2)
        x3 = self.down3(self.pool(x2), time)  # (B, 4c, H / 4, W / 4)
        h = self.bottleneck(self.pool(x3), time)  # (B, 4c, H / 8, W / 8)
        h = self.up_block1(torch.cat([self.up1(h), x3], dim=1), time)  # (B, 2c, H / 4, W / 4)
        h = self.up_block2(torch.cat([self.up2(h), x2], dim=1), time)  # (B, c, H / 2, W / 2)
        h = self.up_block3(torch.cat([self.up3(h), x1], dim=1), time)  # (B, c, H, W)
        output: Tensor = self.out(h)
        return output
