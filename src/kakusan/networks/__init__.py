"""Networks: U-Nets, from (scaled image, clock, condition) to a tensor, and an autoencoder. They know no noise."""

from kakusan.networks.autoencoder import Autoencoder
from kakusan.networks.simple_unet import SimpleUNet
from kakusan.networks.unet import UNet

__all__ = ["Autoencoder", "SimpleUNet", "UNet"]
