"""The settings that ride inside a picture: all that is needed to draw it again, and no path."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kakusan.config.models import Sampling
from kakusan.errors import KakusanError

if TYPE_CHECKING:
    from kakusan.model import Model
    from kakusan.runs import Checkpoint, Run
    from kakusan.sampling import Plan


class Stamp(BaseModel):
    """How a set of pictures was drawn.

    Attributes:
        kakusan: The version that drew it.
        run: Name of the run.
        checkpoint: Images that its weights had seen.
        weights_from: Which of its weights.
        weights: SHA-256 of their file.
        device: Kind of device; another rounds differently.
        seed: Image i's noise follows from this and i.
        n: Images of the set.
        labels: Classes that repeat in turn; None without classes.
        prompts: What was asked for in words, which repeats in turn; None where nothing was said.
        negative: What guidance leads away from, in words; None where nothing was said.
        sampling: Sampler, steps and all the rest; its ``batch`` are the images drawn at a time.
        index: Which image of the set this is; None for a picture of several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kakusan: str
    run: str
    checkpoint: int
    weights_from: Literal["ema", "raw"]
    weights: str
    device: str
    seed: int
    n: int
    labels: tuple[int, ...] | None
    prompts: tuple[str, ...] | None = None
    negative: str | None = None
    sampling: Sampling
    index: int | None = None

    @property
    def images(self) -> range:
        """Which images of the set it speaks of."""
        return range(self.n) if self.index is None else range(self.index, self.index + 1)

    def metadata(self, index: int | None = None) -> dict[str, Any]:
        """Returns what rides inside the picture of one image, or of several."""
        return {**self.model_dump(mode="json"), "index": index}


def of(
    plan: Plan,
    model: Model,
    run: Run,
    checkpoint: Checkpoint,
    weights_from: Literal["ema", "raw"],
    prompts: tuple[str, ...] | None = None,
    negative: str | None = None,
) -> Stamp:
    """Returns the stamp of what a plan draws, of ``prompts`` that repeat in turn."""
    return Stamp(
        kakusan=version("kakusan"),
        run=run.name,
        checkpoint=checkpoint.images,
        weights_from=weights_from,
        weights=model.weights_hash,
        device=model.device.type,
        seed=plan.seed,
        n=plan.n,
        labels=None if plan.labels is None else _cycle(plan.labels.tolist()),
        prompts=prompts,
        negative=negative,
        sampling=plan.settings,
    )


def read(path: Path) -> Stamp:
    """Returns the stamp of a picture.

    Raises:
        KakusanError: It is not a picture of ours, or one of another version that says other things.
    """
    from kakusan import pictures

    metadata = pictures.read_metadata(path)
    try:
        return Stamp.model_validate(metadata)
    except ValidationError as error:
        writer = metadata.get("kakusan", "an unknown version")
        raise KakusanError(
            f"{path} does not say all of how it was drawn: it was written by kakusan {writer}, and this is "
            f"{version('kakusan')} (draw it with that version)"
        ) from error


def _cycle(labels: list[int]) -> tuple[int, ...]:
    """Returns the shortest beginning of the labels that, repeated, gives them all."""
    n = len(labels)
    length = next(k for k in range(1, n + 1) if all(labels[i] == labels[i % k] for i in range(k, n)))
    return tuple(labels[:length])
