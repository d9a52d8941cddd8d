"""What is asked of a pipeline, checked as far as it can be before any is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kakusan.errors import KakusanError
from kakusan.sampling import require_count
from kakusan.stable_diffusion.control import Control
from kakusan.stable_diffusion.editing import Edit
from kakusan.stable_diffusion.emphasis import fragments
from kakusan.stable_diffusion.schedulers import require_scheduler
from kakusan.stable_diffusion.sizes import require_side

BATCH = 16


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked for; what is None is as the model says itself.

    Attributes:
        prompts: What to draw, in words, of which ``(word:1.3)`` counts more; they repeat in turn.
        n: How many images.
        negative: What guidance leads away from, in words; None: from nothing said.
        steps, guidance: How.
        eta: Randomness of the walk, where the scheduler has one.
        scheduler: What walks, of :data:`kakusan.config.names.SCHEDULERS`.
        height, width: Of the images, in pixels.
        edit: From what they begin, whose size is theirs; None: from noise alone.
        controls: By what the model's ControlNets lead, one after the other; their size is that of the images.
        seed: Image i's noise follows from this and i.
        batch: Images drawn at a time.

    Raises:
        KakusanError: A number is out of its range, nothing is asked for, or what is does not go together.
    """

    prompts: tuple[str, ...]
    n: int
    negative: str | None = None
    steps: int | None = None
    guidance: float | None = None
    eta: float | None = None
    scheduler: str | None = None
    height: int | None = None
    width: int | None = None
    edit: Edit | None = None
    controls: tuple[Control, ...] = ()
    seed: int = 0
    batch: int = BATCH

    def __post_init__(self) -> None:
        require_count(self.n, self.seed)
        if not self.prompts:
            raise KakusanError("nothing is asked for: give a prompt, which says in words what to draw")
        for prompt in (*self.prompts, self.negative or ""):
            fragments(prompt)
        if self.batch < 1:
            raise KakusanError(f"batch must be at least 1 image, not {self.batch}")
        if self.steps is not None and self.steps < 1:
            raise KakusanError(f"steps must be at least 1, not {self.steps} (50 is usual)")
        if self.guidance is not None and not 1 <= self.guidance < math.inf:
            raise KakusanError(
                f"guidance must be 1, which is plainly conditional, or more, not {self.guidance:g} (3 to 7.5 is usual)"
            )
        if self.negative is not None and self.guidance == 1:
            raise KakusanError("guidance leads away from a negative, and at 1 there is none (use guidance 3, say)")
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise KakusanError(
                f"eta must lie between 0, which is no noise on the way, and 1, which is DDPM's, not {self.eta:g}"
            )
        require_scheduler(self.scheduler, self.eta)
        self._require_sides()

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Height and width of the images, as far as anything says them."""
        if self.edit is not None:
            return self.edit.size
        height, width = self.controls[0].size if self.controls else (None, None)
        return self.height or height, self.width or width

    def _require_sides(self) -> None:
        for name, side in (("height", self.height), ("width", self.width)):
            if side is None:
                continue
            require_side(name, side)
            if self.edit is not None:
                raise KakusanError(
                    f"{name} {side} is not asked for beside {self.edit.init.path}, whose size stays (leave it out)"
                )
        for control in self.controls:
            for name, side, wanted in zip(("height", "width"), control.size, self.size, strict=True):
                if wanted not in (None, side):
                    raise KakusanError(
                        f"the {name} of {control.told} is {side} pixels, and that of the images {wanted} (bring it to "
                        "their size)"
                    )
