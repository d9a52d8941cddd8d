"""Networks: from (scaled image, clock, condition) to a tensor; an autoencoder, a text encoder. They know no noise."""

from kakusan.networks.autoencoder import Autoencoder
from kakusan.networks.clip import CLIP, ImageEncoder
from kakusan.networks.simple_unet import SimpleUNet
from kakusan.networks.text import Captioned, TextEncoder
from kakusan.networks.unet import UNet

__all__ = ["CLIP", "Autoencoder", "Captioned", "ImageEncoder", "SimpleUNet", "TextEncoder", "UNet"]
