"""Images of the kind of those that a pipeline learns from, beside which it does not forget what it knows."""

from __future__ import annotations

from torch import Tensor

from kakusan import seeds, stable_diffusion
from kakusan.config import models as config
from kakusan.customising.showing import batch_of, unchecked
from kakusan.data import load
from kakusan.pictures import to_uint8
from kakusan.progress import Bar
from kakusan.stable_diffusion import Request, TextToImage, literal


def prior_of(settings: config.Config, base: TextToImage, size: int, show: bool = True) -> Tensor | None:
    """Returns images of the kind, uint8, shape (n, 3, size, size): those of a folder, or drawn by the pipeline as it is
    before it learns; None where none are asked for.

    Raises:
        KakusanError: The folder cannot be read.
    """
    how = settings.objective
    assert isinstance(how, config.Customising), "asked for by whoever knows"
    if not how.class_prompts:
        return None
    if how.prior is not None:
        return load(how.prior, size=size, channels=3, max_broken=settings.data.max_broken, show=show).images
    seed = seeds.derive(settings.training.seed, "prior")
    told, batch = tuple(map(literal, how.class_prompts)), batch_of(base, size)
    request = Request(told, n=how.prior_images, height=size, width=size, seed=seed, batch=batch)
    with unchecked(base.pipe), Bar("drawing images of its kind", 1, show=show) as bar:
        return to_uint8(stable_diffusion.generated(stable_diffusion.asked(base, request), bar.report))
