"""Where a study trains: its runs, each trained once, and what it judges them by."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel
from torch import Tensor

from kakusan import api, build, config, feeding, sampling
from kakusan.codec import Codec
from kakusan.config.names import STUDIES
from kakusan.data.images import ImageSet
from kakusan.data.parting import kept_out
from kakusan.devices import machine
from kakusan.errors import KakusanError
from kakusan.evaluation.evaluate import Reference, evaluate, reference
from kakusan.evaluation.eye import inception_at_hand
from kakusan.matcher import Matcher
from kakusan.model import Model
from kakusan.progress import Bar
from kakusan.results import Judgement, Value
from kakusan.runs import Checkpoint, Run
from kakusan.seeing.sources import Stored
from kakusan.studies.place import Place
from kakusan.training.timetable import Timetable
from kakusan.trials import Experiment, Part, Sentence, Trial

_SEED = 0
# What may be another one when a study goes on.
_ASIDE = ("version", "training.device", "training.compile", "training.log_every", "training.microbatch")
_ALIKE = ("device", "dtype", "tf32")  # of all trainings of a study
_SHOWN = 10  # pictures in a row
_FOR_INCEPTION = 2048  # images on each side, fewer of which do not span its features


@dataclass(frozen=True)
class Budget:
    """How much a study may cost.

    Attributes:
        seeds: Trainings of everything that is compared.
        images: The longest training, in images seen; None: as long as the preset says.
        samples: The most samples that are judged at a time.
    """

    seeds: int
    images: int | None
    samples: int


BUDGETS: Mapping[str, Budget] = {"quick": Budget(1, 80_000, 1_000), "full": Budget(3, None, 10_000)}


class Stamped(Protocol):
    """What has a protocol."""

    @property
    def protocol(self) -> dict[str, Any]: ...


class _Sight(BaseModel):
    """Whose features all distances of a study are of, and what makes them less than they seem."""

    features: str
    remarks: list[str]


class Workshop(Place):
    """The directory of one study that trains.

    Args:
        path: It; new or empty, or that of the same study, which goes on.
        study, source, budget: What is done in it: ``study`` on the configuration called ``source``.
        settings: That configuration.
        show: Whether to show progress.

    Raises:
        KakusanError: Another study lies there, or the directory cannot be written.
    """

    def __init__(
        self, path: Path, study: str, source: str, budget: str, settings: config.Config, show: bool = True
    ) -> None:
        fields = {name: it for name, it in config.flat(settings).items() if not name.startswith(_ASIDE)}
        super().__init__(path, {"study": study, "source": source, "budget": budget, **fields}, show)
        self.study, self.source = study, source
        self._judged = STUDIES[study].judged
        self.budget_name, self.budget, self.settings = budget, BUDGETS[budget], settings
        self.device = settings.training.device

    def trained(
        self,
        name: str,
        changes: Mapping[str, Any] | None = None,
        seed: int = 0,
        base: config.Config | None = None,
    ) -> Run:
        """Returns a run of the study's configuration with ``changes``: trained, gone on with, or there already.

        Args:
            name: What it is called.
            changes: Fields that are other than the study's.
            seed: Of several alike.
            base: A configuration of its own, of its own length, in the study's place; where and how exactly it is
                computed, and from which seed, the study says.

        Raises:
            KeyboardInterrupt: Ctrl-C ended it; what it has learned is saved.
        """
        place = self.path / "runs" / (name if not seed else f"{name}-seed-{seed}")
        if self._judged and not place.exists():
            _ = self.real  # what cannot be judged is refused before it is trained
        if base is None:
            base = config.changed(self.settings, {"training.images": self.images_to_see})
        asked = self.settings.training
        alike = {f"training.{field}": getattr(asked, field) for field in _ALIKE}
        settings = config.changed(base, {**alike, "training.seed": asked.seed + seed, **(changes or {})})
        if Run.is_at(place):
            run = api.train(resume=place, show=self.show and not _finished(place))
        else:
            run = api.train(settings, run=place, overwrite=True, show=self.show)
        if not _finished(place):
            raise KeyboardInterrupt
        return run

    def moments(self, count: int, images: int | None = None) -> dict[str, int]:
        """Returns what makes a run keep checkpoints of so many moments of its training, evenly spaced.

        Args:
            count: How many.
            images: How long the training is; None: as all of this study.
        """
        apart = max(1, (images or self.images_to_see) // count)
        return {"training.checkpoint_every": apart, "training.keep": 2 * count}

    def checkpoints(self, run: Run) -> list[Checkpoint]:
        """Returns those that were planned: whoever stopped the training left one more."""
        settings = config.load(run.config_path)
        timetable = Timetable.of(settings.training, self._epoch(settings))
        return [it for it in run.checkpoints() if timetable.saves(it.images // settings.training.batch_size)]

    def judged(self, name: str, model: Model, *, seed: int = _SEED, **how: Any) -> Judgement:
        """Returns what samples of a model are like, drawn as its run is configured but for ``how``."""
        settings = sampling.settings(model.sampling, **how)

        def find() -> Judgement:
            with Bar(name.replace("-", " "), 1, show=self.show) as bar:
                return evaluate(
                    model, self.real, settings=settings, seed=seed, name=self.images.name, progress=bar.report
                )

        return self.found(f"judged-{name}", Judgement, find, self.of(model))

    @staticmethod
    def of(model: Model | Codec | Matcher) -> Callable[[Stamped], bool]:
        """Returns whether a record is of a model's weights, and not of others that were once called so."""
        return lambda record: record.protocol.get("weights_hash") == model.weights_hash

    def load(self, run: Run, checkpoint: int | None = None) -> Model:
        """Returns the model of a run."""
        return api.load(run, checkpoint=checkpoint, device=self.device)

    @property
    def untrained(self) -> Model:
        """The model of its configuration before it has learned anything."""
        conditional = getattr(self.settings.network, "class_conditional", False)
        return build.model(self.settings, self.images.shape, self.images.class_names if conditional else ())

    def pictures(self, model: Model, **how: Any) -> Tensor:
        """Returns a row of samples, each class in turn, always of the same noise: (n, C, H, W) in [−1, 1]."""
        return api.sample(model, n=_SHOWN, seed=_SEED, **how).cpu()

    @cached_property
    def images(self) -> ImageSet:
        """The real images."""
        return feeding.images(self.settings.data, self.show)

    @cached_property
    def real(self) -> Reference:
        """The real images as samples are compared with them: by Inception where it is at hand and they are many enough,
        else by a classifier of their own."""
        n = min(len(self.images) // 2, self.settings.evaluation.n or self.budget.samples, self.budget.samples)
        eye = inception_at_hand(self.device) if n > _FOR_INCEPTION else None
        splits = self.settings.evaluation.splits
        real = reference(self._learned_from, n=n, splits=splits, device=self.device, show=self.show, eye=eye)
        began = self._sight(lambda: real)
        if began.features != real.eye.name:
            raise KakusanError(
                f"{self.path} was begun with features of {began.features}, and there are {real.eye.name} now: "
                "numbers of both cannot be compared (begin anew in another --run)"
            )
        return real

    @property
    def _learned_from(self) -> Stored:
        """The real images, with what the trainings learn of them; those of several seeds hold out others each."""
        return Stored.of_run(self.images, self.settings if self.budget.seeds == 1 else None)

    @property
    def _unlearned(self) -> tuple[Sentence, ...]:
        """What is to be said where trainings end before their learning rate has risen: they have learned next to
        nothing, and what they draw is told apart by chance."""
        warmup = self.settings.optimizer.warmup_images
        seen = {"images": self.images_to_see, "warmup": warmup}
        return (Sentence("study.unlearned", seen),) if self.images_to_see <= warmup else ()

    @property
    def alone(self) -> tuple[Sentence, ...]:
        """What is to be said where one training of each is compared."""
        return (Sentence("study.alone"),) if self.budget.seeds == 1 else ()

    @property
    def seeds(self) -> range:
        """Those that everything is trained with."""
        return range(self.budget.seeds)

    @property
    def images_to_see(self) -> int:
        """How long every training of this study is, in images seen."""
        return self.within_budget(self.settings)

    def within_budget(self, settings: config.Config) -> int:
        """Returns how long a training of the study's images is by its configuration, or by the budget if shorter."""
        images = self.images_of(settings)
        return min(self.budget.images or images, images)

    def images_of(self, settings: config.Config) -> int:
        """Returns how long a training of the study's images is by its configuration alone, in images seen."""
        training = settings.training
        epoch = 1 if training.epochs is None else self._epoch(settings)  # for which images are read
        return Timetable.of(training, epoch).steps * training.batch_size

    def _epoch(self, settings: config.Config) -> int:
        """Returns how many images are learned from."""
        return len(self.images) - kept_out(settings.data.held_out, len(self.images))

    def experiment(
        self, finding: tuple[Sentence, Sentence], *parts: Part, notes: tuple[Sentence, ...] = ()
    ) -> Experiment:
        """Returns the study, done."""
        return Experiment(
            study=self.study,
            source=self.source,
            budget=self.budget_name,
            finding=finding,
            parts=parts,
            notes=(*notes, *self._unlearned),
            remarks=tuple(self._sight(lambda: self.real).remarks) if self._judged else (),
            seconds=self._spent(),
            machine=machine(),
        )

    def _sight(self, real: Callable[[], Reference]) -> _Sight:
        def find() -> _Sight:
            return _Sight(features=real().eye.name, remarks=real().remarks)

        return self.found("reference", _Sight, find)


def trial_of(name: str, judgement: Judgement, **more: Value) -> Trial:
    """Returns a row that says what a judgement found, and ``more``."""
    return Trial(name=name, values={**judgement.values, **more}, protocol=judgement.protocol)


def train_seconds(run: Run) -> Value:
    """Returns how long a run took to train at its usual pace, whatever disturbed or interrupted it."""
    lines = [line for line in run.metrics() if "images_per_second" in line]
    pace = statistics.median(line["images_per_second"] for line in lines)
    return Value(value=run.checkpoint().images / pace)


def _finished(place: Path) -> bool:
    run = Run.open(place)
    if not run.checkpoints():
        return False
    state = run.checkpoint().state()
    return bool(state["images"] >= state["total_images"])
