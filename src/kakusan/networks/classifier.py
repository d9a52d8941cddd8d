"""A small convolutional classifier, whose last features serve as a measure of likeness."""

from __future__ import annotations

from torch import Tensor, nn


class Classifier(nn.Module):
    """Convolutions that halve the image until it is 4 pixels or less, averages over its quarters, and a linear head.

    Quarters and not the whole: features that forget where strokes are do not notice when they are in the wrong place.

    Args:
        in_channels: Channels of the images.
        size: Their smaller side in pixels, which sets how often they are halved.
        classes: How many classes.
        width: Channels of the first convolution; they double at each halving, up to ``features``.
        features: Channels of the last convolution.
    """

    def __init__(self, in_channels: int, size: int, classes: int, width: int = 32, features: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_block(in_channels, width), *_block(width, width)]
        while size > 4:
            wider = min(2 * width, features)
            layers += [*_block(width, wider, stride=2), *_block(wider, wider)]
            width, size = wider, (size + 1) // 2
        self.body = nn.Sequential(*layers, *_block(width, features), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(4 * features, classes)

    def features(self, images: Tensor) -> Tensor:
        """Returns what the head sees of images in [−1, 1], shape (B, C, H, W): (B, 4·features)."""
        features: Tensor = self.body(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, shape (B, classes)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def _block(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.GroupNorm(8, out_channels), nn.SiLU()]
