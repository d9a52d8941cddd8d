"""Images that are there as bytes already: the digits, CIFAR-10, a cache."""

from collections.abc import Sequence

from PIL import Image

from kakusan.data.images import ImageSet


class Held:
    """A source over a set of images.

    Args:
        images: The set.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, images: ImageSet) -> None:
        self.images = images
        self.name, self.class_names, self.captions = images.name, images.class_names, images.captions
        self.labels: Sequence[int] | None = None if images.labels is None else images.labels.tolist()

    def __len__(self) -> int:
        return len(self.images)

    def entry(self, index: int) -> str:
        return self.images.names[index] if self.images.names else f"image {index}"

    def whole(self) -> ImageSet:
        """Returns the set."""
        return self.images

    def read(self, index: int) -> Image.Image:
        pixels = self.images.images[index].numpy()
        return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
