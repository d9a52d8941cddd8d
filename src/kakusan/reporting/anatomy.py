"""A network in numbers, read off its layers: its levels, and what works at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from kakusan.networks import Captioned, SimpleUNet, UNet
from kakusan.networks.simple_unet import ResidualBlock, SinusoidalPositionEmbeddings


@dataclass(frozen=True)
class Stack:
    """Residual blocks at one resolution, on the way down, at the bottom or on the way up.

    Attributes:
        size: Height and width of what they work on.
        channels: That they give.
        blocks: How many.
        attention: Whether there is attention among them.
        parameters: Theirs, and of what changes the resolution, or meets the picture, before or after them.
    """

    size: tuple[int, int]
    channels: int
    blocks: int
    attention: bool
    parameters: int


@dataclass(frozen=True)
class UShape:
    """What a diagram of a U-Net shows.

    Attributes:
        channels: Of the picture.
        down: The way down, the full resolution first.
        bottom: Between the ways.
        up: The way up, in the order of ``down``.
        waves: Length of the sinusoidal embedding of time.
        embedding: Length of what every block is told.
        classes: That condition it; 0 for none.
        conditioning: Parameters of what makes that of time and class.
    """

    channels: int
    down: Sequence[Stack]
    bottom: Stack
    up: Sequence[Stack]
    waves: int
    embedding: int
    classes: int
    conditioning: int


@dataclass(frozen=True)
class Network:
    """A network in numbers.

    Attributes:
        name: Its class.
        parameters: How many it has.
        shape: What its diagram shows; None for a network of the user's own.
    """

    name: str
    parameters: int
    shape: UShape | None = None


def read(network: nn.Module, picture: tuple[int, int, int]) -> Network:
    """Reads a network's numbers off its layers.

    Args:
        network: One of ours has a diagram.
        picture: (C, H, W) of its pictures.
    """
    shape = None
    drawn = network.unet if isinstance(network, Captioned) else network
    if isinstance(drawn, UNet):
        shape = _unet(drawn, picture)
    if isinstance(network, SimpleUNet):
        shape = _simple(network, picture)
    return Network(type(network).__name__, _parameters(network), shape)


def _unet(network: UNet, picture: tuple[int, int, int]) -> UShape:
    def at(level: int, module: nn.Module, *ends: nn.Module) -> int:
        return sum(map(_parameters, (module, *(ends if level == 0 else ()))))

    sizes = [_halved(picture, level) for level in range(len(network.channels))]
    levels = list(zip(sizes, network.channels, range(len(sizes)), strict=True))
    stacks = [
        tuple(
            Stack(size, channels, blocks, level in network.attention_levels, at(level, modules[level], *ends))
            for size, channels, level in levels
        )
        for blocks, modules, ends in (
            (network.blocks, network.down, (network.input,)),
            (network.blocks + 1, network.up[::-1], (network.output_norm, network.output)),
        )
    ]
    return UShape(
        network.in_channels,
        down=stacks[0],
        bottom=Stack(sizes[-1], network.channels[-1], 2, network.middle_attention, _parameters(network.middle)),
        up=stacks[1],
        waves=network.time_embedding.frequencies,
        embedding=network.time_embedding.linear2.out_features,
        classes=network.classes or 0,
        conditioning=sum(
            _parameters(part) for part in (network.time_embedding, network.class_embedding) if part is not None
        ),
    )


def _simple(network: SimpleUNet, picture: tuple[int, int, int]) -> UShape:
    def stack(level: int, block: ResidualBlock, *beside: nn.Module) -> Stack:
        parameters = sum(map(_parameters, (block, *beside)))
        return Stack(_halved(picture, level), block.conv2.out_channels, 1, False, parameters)

    waves, to_width, _ = network.time_mlp
    assert isinstance(waves, SinusoidalPositionEmbeddings)
    assert isinstance(to_width, nn.Linear)
    return UShape(
        network.in_channels,
        down=[stack(level, block) for level, block in enumerate((network.down1, network.down2, network.down3))],
        bottom=stack(3, network.bottleneck),
        up=[
            stack(0, network.up_block3, network.up3, network.out),
            stack(1, network.up_block2, network.up2),
            stack(2, network.up_block1, network.up1),
        ],
        waves=waves.dim,
        embedding=to_width.out_features,
        classes=0,
        conditioning=_parameters(network.time_mlp),
    )


def _halved(picture: tuple[int, int, int], times: int) -> tuple[int, int]:
    _, height, width = picture
    return height // 2**times, width // 2**times


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
