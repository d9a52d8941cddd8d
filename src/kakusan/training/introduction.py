"""What a person is told before training starts: what is learned from what."""

from kakusan.config.models import Config
from kakusan.model import Model


def introduction(model: Model, images: int, settings: Config) -> str:
    """Returns a sentence on the network and the images that it will see."""
    size = "×".join(map(str, model.shape))
    parameters = sum(parameter.numel() for parameter in model.denoiser.network.parameters())
    classes = f", by {len(model.class_names)} classes" if model.class_names else ""
    return (
        f"{settings.network.kind} with {parameters:,} parameters learns {images:,} images of {size} "
        f"from {settings.data.source}{classes}"
    )
