"""The U-Net of DDPM: residual blocks at several resolutions, joined across by skip connections."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakusan.condition import NULL_LABEL, Condition
from kakusan.errors import KakusanError
from kakusan.networks.attention import TextAttention
from kakusan.networks.blocks import Attention, Downsample, ResidualBlock, Stage, Upsample, zero_init
from kakusan.networks.embeddings import ClassEmbedding, TimeEmbedding
from kakusan.networks.sizes import check_images, most_groups


class DownLevel(nn.Module):
    """Stages at one resolution, then half of it; every result is kept for the way up."""

    def __init__(self, stages: Sequence[Stage], downsample: Downsample | None) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.downsample = downsample

    def forward(self, x: Tensor, time: Tensor, words: Tensor | None) -> list[Tensor]:
        """Returns what every stage gave, and last what the next level starts from."""
        results = []
        for stage in self.stages:
            x = stage(x, time, words)
            results.append(x)
        if self.downsample is not None:
            results.append(self.downsample(x))
        return results


class UpLevel(nn.Module):
    """Stages at one resolution, each beside what the way down kept; then twice the resolution."""

    def __init__(self, stages: Sequence[Stage], upsample: Upsample | None) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.upsample = upsample

    def forward(self, x: Tensor, kept: list[Tensor], time: Tensor, words: Tensor | None) -> Tensor:
        """Returns the input of the next level, taking from the end of ``kept`` one tensor a stage."""
        for stage in self.stages:
            x = stage(torch.cat([x, kept.pop()], dim=1), time, words)
        return x if self.upsample is None else self.upsample(x)


class UNet(nn.Module):
    """Maps a scaled noisy image, the clock and perhaps class or words to an image-shaped output, which starts at zero.

    Its weights convert to and from diffusers' ``UNet2DModel`` or, with text, ``UNet2DConditionModel``
    (:mod:`kakusan.interop.diffusers`).

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the output; as many as the image has, unless given.
        channels: Channels at each resolution, the full one first; each further level halves height and width.
        blocks: Residual blocks a level on the way down; one more on the way up.
        attention_levels: Levels with attention after each block; 0 is the full resolution.
        middle_attention: Whether there is attention between the two blocks at the bottom.
        head_channels: Channels of a head of attention; one head, unless given.
        groups: Groups of every normalisation; the most that fit, up to 32, unless given.
        norm_eps: What every normalisation adds to the variance.
        dropout: Probability of dropping a value inside a residual block.
        scale_shift: Whether time scales and shifts what was normalised, or is added before.
        freq_shift: 1, or 0 as diffusers' default is: how the frequencies of the time embedding are spread.
        downsample_padding: 0, or 1 as diffusers' default is: where a level's end is padded.
        classes: How many classes condition the network, the null class not counted; unconditional, unless given.
        text_width: Width of the words that all attention looks at; it looks at none, unless given.

    Raises:
        KakusanError: A number is out of its range, groups or heads do not divide the channels, or text has no attention
            in the middle.

    Source: Ho, Jain & Abbeel, "Denoising Diffusion Probabilistic Models", 2020, appendix B.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        *,
        channels: Sequence[int] = (64, 128, 256),
        blocks: int = 2,
        attention_levels: Sequence[int] = (),
        middle_attention: bool = True,
        head_channels: int | None = None,
        groups: int | None = None,
        norm_eps: float = 1e-6,
        dropout: float = 0.0,
        scale_shift: bool = False,
        freq_shift: int = 1,
        downsample_padding: int = 0,
        classes: int | None = None,
        text_width: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = in_channels if out_channels is None else out_channels
        self.channels = tuple(channels)
        self.blocks = blocks
        self.attention_levels = tuple(sorted(set(attention_levels)))
        self.middle_attention = middle_attention
        self.head_channels = head_channels
        self.norm_eps = norm_eps
        self.dropout = dropout
        self.scale_shift = scale_shift
        self.freq_shift, self.downsample_padding = freq_shift, downsample_padding
        self.classes, self.text_width = classes, text_width
        self._check_numbers()
        self.groups = most_groups(self.channels) if groups is None else groups
        self._check_groups_and_heads()
        self._build()

    def _check_numbers(self) -> None:
        at_least_one = {"in_channels": self.in_channels, "out_channels": self.out_channels, "blocks": self.blocks}
        at_least_one |= {
            name: number for name in ("classes", "text_width") if (number := getattr(self, name)) is not None
        }
        for name, number in at_least_one.items():
            if number < 1:
                raise KakusanError(f"{name} must be at least 1, not {number}")
        if not self.channels or min(self.channels) < 2:
            raise KakusanError(
                f"channels must name at least one level, each of 2 channels or more, not {self.channels}"
            )
        last = len(self.channels) - 1
        for level in self.attention_levels:
            if not 0 <= level <= last:
                raise KakusanError(f"attention_levels must lie between 0, the full resolution, and {last}, not {level}")
        for name in ("freq_shift", "downsample_padding"):
            if getattr(self, name) not in (0, 1):
                raise KakusanError(f"{name} must be 0 or 1, not {getattr(self, name)}")
        if self.text_width is not None and not self.middle_attention:
            raise KakusanError("a U-Net that reads text needs middle_attention: it is false")
        if not 0 <= self.dropout < 1:
            raise KakusanError(f"dropout must lie in [0, 1), not {self.dropout}")

    def _check_groups_and_heads(self) -> None:
        # Of a group with one channel the normalisation removes all that time has added to it.
        least = 1 if self.scale_shift else 2
        for width in self.channels:
            if self.groups < 1 or width % self.groups or width // self.groups < least:
                raise KakusanError(
                    f"groups must divide all of channels {self.channels} into at least {least} channels a group, "
                    f"which {self.groups} does not: {most_groups(self.channels)} fits"
                )
        attended = {self.channels[level] for level in self.attention_levels}
        for width in attended | ({self.channels[-1]} if self.middle_attention else set()):
            if self.head_channels is not None and (self.head_channels < 1 or width % self.head_channels):
                raise KakusanError(
                    f"head_channels must divide the channels of every level with attention, "
                    f"but {self.head_channels} does not divide {width} (another one, or null: a single head)"
                )

    def _build(self) -> None:
        first, last, bottom = self.channels[0], self.channels[-1], len(self.channels) - 1
        self.time_embedding = TimeEmbedding(first, 4 * first, self.freq_shift)
        self.class_embedding = None if self.classes is None else ClassEmbedding(self.classes, 4 * first)
        self.input = nn.Conv2d(self.in_channels, first, 3, padding=1)

        kept = [first]
        self.down = nn.ModuleList()
        for level, width in enumerate(self.channels):
            stages = []
            for _ in range(self.blocks):
                stages.append(self._stage(kept[-1], width, attention=level in self.attention_levels))
                kept.append(width)
            self.down.append(DownLevel(stages, Downsample(width, self.downsample_padding) if level < bottom else None))
            if level < bottom:
                kept.append(width)

        self.middle = nn.ModuleList(
            [self._stage(last, last, attention=self.middle_attention), self._stage(last, last, attention=False)]
        )

        below = last
        self.up = nn.ModuleList()
        for level, width in reversed(list(enumerate(self.channels))):
            stages = []
            for _ in range(self.blocks + 1):
                stages.append(self._stage(below + kept.pop(), width, attention=level in self.attention_levels))
                below = width
            self.up.append(UpLevel(stages, Upsample(width) if level > 0 else None))

        self.output_norm = nn.GroupNorm(self.groups, first, eps=self.norm_eps)
        self.output = nn.Conv2d(first, self.out_channels, 3, padding=1)
        zero_init(self.output)

    def _stage(self, in_channels: int, out_channels: int, *, attention: bool) -> Stage:
        residual = ResidualBlock(
            in_channels,
            out_channels,
            time_width=4 * self.channels[0],
            groups=self.groups,
            eps=self.norm_eps,
            dropout=self.dropout,
            scale_shift=self.scale_shift,
        )
        if not attention:
            return Stage(residual, None)
        heads = out_channels // (self.head_channels or out_channels)
        if self.text_width is not None:
            return Stage(residual, TextAttention(out_channels, self.text_width, heads=heads, groups=self.groups))
        return Stage(residual, Attention(out_channels, heads=heads, groups=self.groups, eps=self.norm_eps))

    def forward(self, x: Tensor, clock: Tensor, condition: Condition | None = None) -> Tensor:
        """Returns the output for a batch.

        Args:
            x: Scaled noisy images, shape (B, in_channels, H, W), H and W multiples of 2^(levels - 1).
            clock: What the schedule's clock shows, float32, shape (B,).
            condition: Labels from 0 to ``classes`` - 1, or -1; without one, all are of the null class. Tokens, shape
                (B, L, text_width), which a U-Net that reads text cannot do without.

        Returns:
            Shape (B, out_channels, H, W).

        Raises:
            KakusanError: The images do not fit, or a condition is wanting, or nothing to this network.
        """
        check_images(x, self.in_channels, 2 ** (len(self.channels) - 1))
        time = functional.silu(self._embed(clock, condition))  # (B, 4 channels[0]): activated once for all blocks
        words = self._words(condition)

        kept = [self.input(x)]
        for level in self.down:
            kept += level(kept[-1], time, words)
        h = kept[-1]
        for stage in self.middle:
            h = stage(h, time, words)
        for level in self.up:
            h = level(h, kept, time, words)
        output: Tensor = self.output(functional.silu(self.output_norm(h)))
        return output

    def _embed(self, clock: Tensor, condition: Condition | None) -> Tensor:
        labels = None if condition is None else condition.labels
        if self.class_embedding is None and labels is not None:
            raise KakusanError("this U-Net has no classes and takes no condition: build it with classes=N")
        embedding: Tensor = self.time_embedding(clock)
        if self.class_embedding is not None:
            labels = torch.full_like(clock, NULL_LABEL, dtype=torch.long) if labels is None else labels
            embedding = embedding + self.class_embedding(labels)
        return embedding

    def _words(self, condition: Condition | None) -> Tensor | None:
        """Returns the words that it reads, shape (B, L, text_width); None where it reads none."""
        words = None if condition is None else condition.tokens
        unread = condition is not None and condition.words is not None
        wide = None if words is None else words.shape[2]
        if wide != self.text_width or unread:
            given = (
                "words that no text encoder has read" if unread else f"words of width {wide}" if wide else "no words"
            )
            reads = f"words of width {self.text_width}" if self.text_width else "no text"
            raise KakusanError(f"this U-Net reads {reads}, and is given {given} (a Captioned network reads captions)")
        return words
