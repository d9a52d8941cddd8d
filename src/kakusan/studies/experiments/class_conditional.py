"""What a model gains by knowing the class, and what guidance makes of it: exercise 4.3."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kakusan.errors import KakusanError
from kakusan.results import Judgement, Value
from kakusan.studies.workshop import Workshop, train_seconds, trial_of
from kakusan.trials import Experiment, Part, Sentence, Trial, averaged

SCALES = (1.0, 1.5, 2.0, 3.0, 5.0)
_PLAIN, _CONDITIONAL = "unconditional", "conditional"


def class_conditional(shop: Workshop) -> Experiment:
    """Trains with classes and without, judges both class by class, and draws with more and more guidance."""
    if not hasattr(shop.settings.network, "class_conditional"):
        raise KakusanError(f"a network of kind {shop.settings.network.kind} knows no classes (choose another --preset)")
    judged: dict[str, list[Judgement]] = {_PLAIN: [], _CONDITIONAL: []}
    tried: dict[str, list[Trial]] = {_PLAIN: [], _CONDITIONAL: []}
    sweep: dict[float, list[Trial]] = {scale: [] for scale in SCALES}
    pictures: dict[str, Tensor] = {}
    guided: dict[str, Tensor] = {}
    for seed in shop.seeds:
        models = {}
        for name in (_PLAIN, _CONDITIONAL):
            changes = {"network.class_conditional": name == _CONDITIONAL, "sampling.guidance": 1.0}
            run = shop.trained(name, changes, seed)
            models[name] = shop.load(run)
            judged[name].append(shop.judged(f"{name}-{seed}", models[name]))
            tried[name].append(trial_of(name, judged[name][-1], train_seconds=train_seconds(run)))
            pictures.setdefault(name, shop.pictures(models[name]))
        for scale in SCALES:
            name = f"{_CONDITIONAL}-{seed}" if scale == 1.0 else f"guidance-{scale:g}-{seed}"
            found = shop.judged(name, models[_CONDITIONAL], guidance=scale)
            sweep[scale].append(trial_of(f"w = {scale:g}", found, guidance=Value(value=scale)))
            guided.setdefault(f"w = {scale:g}", shop.pictures(models[_CONDITIONAL], guidance_scale=scale))
    both = [averaged(tried[name]) for name in (_PLAIN, _CONDITIONAL)]
    scales = [averaged(sweep[scale]) for scale in SCALES]
    first, second = finding(both), guiding(scales)
    classes = [averaged(rows) for rows in zip(*(map(_class_rows, judged[_PLAIN], judged[_CONDITIONAL])), strict=True)]
    return shop.experiment(
        (first, second),
        Part("compared", first, tuple(both), pictures=pictures),
        Part("classes", hardest(classes), tuple(classes)),
        Part("guidance", second, tuple(scales), ("distance", "accuracy", "score"), "guidance", pictures=guided),
        notes=shop.alone,
    )


def finding(both: Sequence[Trial]) -> Sentence:
    """Says whether knowing the class brings samples nearer to real images."""
    plain, conditional = (trial.values["distance"] for trial in both)
    key = "alike" if not plain.beyond(conditional) else "nearer" if conditional.value < plain.value else "farther"
    return Sentence(f"study.class-conditional.{key}", {"plain": plain.value, "conditional": conditional.value})


def guiding(scales: Sequence[Trial]) -> Sentence:
    """Says which scales come nearest to real images, as far as doubt allows, and what the largest does to accuracy."""
    best = min(scales, key=lambda trial: trial.values["distance"].value)
    near = [trial for trial in scales if not trial.values["distance"].beyond(best.values["distance"])]
    first, last = scales[0], scales[-1]
    return Sentence(
        f"study.class-conditional.{'guided' if len(near) == 1 else 'guided_alike'}",
        {
            "best": f"{best.values['guidance'].value:g}",
            "near": ", ".join(f"{trial.values['guidance'].value:g}" for trial in near),
            "distance": best.values["distance"].value,
            "scale": f"{last.values['guidance'].value:g}",
            "far": last.values["distance"].value,
            "before": first.values["accuracy"].value,
            "after": last.values["accuracy"].value,
        },
    )


def hardest(classes: Sequence[Trial]) -> Sentence:
    """Says which class is recognised least often as what was asked for, and whether others may be as hard."""
    worst, *others = sorted(
        (trial for trial in classes if "accuracy" in trial.values), key=lambda trial: trial.values["accuracy"].value
    )
    least = worst.values["accuracy"]
    alike = [other.name for other in others if not other.values["accuracy"].beyond(least)]
    told = {"name": worst.name, "accuracy": least.value, "others": ", ".join(alike)}
    return Sentence(f"study.class-conditional.{'hardest_alike' if alike else 'hardest'}", told)


def _class_rows(plain: Judgement, conditional: Judgement) -> list[Trial]:
    """Returns a row a class: what both models make of it."""
    rows = []
    for without, of in zip(plain.classes, conditional.classes, strict=True):
        values = {
            "share": Value(value=without.share, real=without.real_share),
            "plain_distance": _value(without.frechet_distance, without.noise_floor),
            "distance": _value(of.frechet_distance, of.noise_floor),
            "accuracy": _share(of.accuracy, of.n),
            "plain_coverage": _value(without.coverage, without.real_coverage),
            "coverage": _value(of.coverage, of.real_coverage),
        }
        there = {name: it for name, it in values.items() if it is not None}
        protocol = {**conditional.protocol, "n": of.n, "splits": 1}
        protocol["without_classes"] = {**plain.protocol, "n": without.n, "splits": 1}
        rows.append(Trial(name=of.name, values=there, protocol=protocol))
    return rows


def _share(value: float | None, n: int) -> Value | None:
    return None if value is None else Value.of_share(value, n)


def _value(value: float | None, real: float | None = None) -> Value | None:
    return None if value is None else Value(value=value, real=real)
