"""Pictures of what a pipeline has learned: always of the same prompts, from the same noise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kakusan import stable_diffusion
from kakusan.config import models as config
from kakusan.customising.customised import Customised, picture_shape
from kakusan.sampling import Progress
from kakusan.stable_diffusion import Request, TextToImage, literal

_PROMPTS = 4  # at most
_LARGE, _MOST = 4, 64  # images drawn at a time: of latents of 64×64, and of small ones


@dataclass(frozen=True)
class Showing:
    """What is drawn of what was learned.

    Attributes:
        prompts: Those of the settings, or the first that it learned from, and the kind's.
        told: The same as a pipeline is asked for them: what was learned has no brackets that weigh words.
        steps, guidance: How; None: as the pipeline says itself.
        size: Side of the pictures in pixels; None: that of the pipeline's own.
    """

    prompts: tuple[str, ...]
    told: tuple[str, ...]
    steps: int | None
    guidance: float | None
    size: int | None

    @classmethod
    def of(cls, learned: Customised, steps: int | None = None, guidance: float | None = None) -> Showing:
        """Returns what is drawn of a pipeline, as its settings say unless told otherwise."""
        how = learned.settings.objective
        assert isinstance(how, config.Customising), "asked for by whoever knows"
        own = tuple(dict.fromkeys(learned.prompts[: len(learned.prompts) - len(how.class_prompts)]))
        kind = how.class_prompts[:1]
        prompts = how.shown or (*own[: _PROMPTS - len(kind)], *kind)
        return cls(
            prompts,
            how.shown or tuple(map(literal, prompts)),
            how.shown_steps if steps is None else steps,
            how.shown_guidance if guidance is None else guidance,
            learned.settings.data.size,
        )

    @torch.no_grad()
    def drawn(self, base: TextToImage, each: int, progress: Progress | None = None) -> Tensor:
        """Returns so many images of each of the P prompts, one prompt after the other: in [−1, 1], shape (P·each, C, H,
        W), on the CPU."""
        told = tuple(it for it in self.told for _ in range(each))
        request = Request(
            told,
            n=len(told),
            steps=self.steps,
            guidance=self.guidance,
            height=self.size,
            width=self.size,
            batch=batch_of(base, self.size or picture_shape(base)[1]),
        )
        return stable_diffusion.generated(stable_diffusion.asked(base, request), progress)


def batch_of(base: TextToImage, size: int) -> int:
    """Returns how many images are drawn at a time: small ones fill a device no sooner than a few large ones do."""
    side = size // int(base.pipe.vae_scale_factor)
    return max(_LARGE, min(_MOST, _LARGE * 64 * 64 // side**2))


@contextmanager
def unchecked(pipe: Any) -> Iterator[None]:
    """A context in which no safety checker looks at a pipeline's pictures, for such as nobody sees: black ones would be
    learned as well, and are all the same."""
    checker = pipe.components.get("safety_checker")
    if checker is None:
        yield
        return
    pipe.register_modules(safety_checker=None)
    try:
        yield
    finally:
        pipe.register_modules(safety_checker=checker)
