"""What a person is told before training starts: what is learned from what."""

from kakusan.build import Learner
from kakusan.config.models import Config
from kakusan.customising import Customised
from kakusan.errors import counted
from kakusan.model import Model
from kakusan.training.timetable import Timetable


def introduction(model: Learner | Customised, images: int | None, kept_out: int, settings: Config) -> str:
    """Returns a sentence on the network and the images that it will see, beside those kept out to judge on."""
    size = "×".join(map(str, model.shape))
    if isinstance(model, Model) and model.codec is not None:
        size += f" in latents of {'×'.join(map(str, model.latent_shape))}"
    steps = Timetable.of(settings.training, images).steps
    seen = steps * settings.training.batch_size
    warming = settings.optimizer.warmup_images
    cut = f", all within the warm-up of {warming:,} images (see optimizer.warmup_images)" if seen <= warming else ""
    seen_once = "images" if images is None else counted(images, "image")
    if isinstance(model, Customised):  # an image is seen with each of its prompts
        seen_once = f"{counted(images or 0, 'pair')} of an image and a prompt,"
    judged_on = f" ({counted(kept_out, 'other')} held out)" if kept_out else ""
    classes = ""
    if isinstance(model, Model) and model.class_names:
        classes = f", by {len(model.class_names)} class{'es' * (len(model.class_names) > 1)}"
    told = ", by captions" if isinstance(model, Model) and model.words is not None else ""
    return (
        f"{settings.network.kind} with {model.parameters:,} parameters learns {seen_once} of {size} "
        f"from {settings.data.source}{judged_on}{classes}{told}, for {counted(steps, 'step')}{cut}"
    )
