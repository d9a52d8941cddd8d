"""When training ends, and after which steps something beside a step is done."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kakusan.config.models import Training
from kakusan.errors import KakusanError


@dataclass(frozen=True)
class Timetable:
    """The moments of a training: those that save, validate and draw, and its end.

    Attributes:
        training: How often, in images seen.
        steps: How many there are.
        measures_every: Images between measurements of samples; 0 for none.
    """

    training: Training
    steps: int
    measures_every: int = 0

    @classmethod
    def of(cls, training: Training, epoch_images: int | None, measures_every: int = 0) -> Timetable:
        """Returns that of a training whose length may be given in steps, images or epochs of so many images.

        Raises:
            KakusanError: It is given in epochs, and nobody knows how many images one has.
        """
        if training.steps is not None:
            return cls(training, training.steps, measures_every)
        images = training.images
        if images is None:
            if epoch_images is None:
                raise KakusanError(
                    "training.epochs needs data whose length is known, and this loader has none (give training.steps "
                    "or training.images)"
                )
            images = (training.epochs or 0) * epoch_images
        return cls(training, math.ceil(images / training.batch_size), measures_every)

    def saves(self, step: int) -> bool:
        """Whether a checkpoint follows this step: whatever is measured, its weights are kept for a while."""
        crosses = self._crosses(step, self.training.checkpoint_every)
        return step == self.steps or crosses or self._crosses(step, self.measures_every)

    def validates(self, step: int) -> bool:
        """Whether the held-out loss follows this step: every checkpoint tells its own."""
        return self.saves(step) or self._crosses(step, self.training.validate_every)

    def draws(self, step: int) -> bool:
        """Whether a grid of samples follows this step."""
        return self._now_and_at_the_end(step, self.training.samples_every)

    def measures(self, step: int) -> bool:
        """Whether samples are measured after this step."""
        return self._now_and_at_the_end(step, self.measures_every)

    def _now_and_at_the_end(self, step: int, every: int) -> bool:
        return self._crosses(step, every) or (every > 0 and step == self.steps)

    def _crosses(self, step: int, every: int) -> bool:
        """Whether this step crosses a multiple of ``every`` images; of 0 there is none."""
        batch_size = self.training.batch_size
        return every > 0 < step and step * batch_size // every > (step - 1) * batch_size // every
