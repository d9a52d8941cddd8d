"""Numbers from a notebook: how good the samples of a model are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kakusan import config, feeding, sampling
from kakusan.api.drawing import load, settings_of
from kakusan.config.models import Data, Evaluation
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet
from kakusan.data.remarks import remarks_on
from kakusan.data.sources import require_here, source_named
from kakusan.devices import resolve
from kakusan.errors import KakusanError, unknown
from kakusan.evaluation import features, statistics
from kakusan.evaluation.captions import measure_captions
from kakusan.evaluation.evaluate import evaluate as judge_samples
from kakusan.evaluation.evaluate import reference, require_alike
from kakusan.evaluation.formulas import FORMULAS
from kakusan.evaluation.measure import measure as measured
from kakusan.evaluation.pairs import PAIRED, measure_pairs
from kakusan.evaluation.prompts import measure_prompts, measure_scenes
from kakusan.evaluation.statistics import Statistics
from kakusan.files import require_free_file, require_suffix
from kakusan.model import Model
from kakusan.progress import Bar, say
from kakusan.results import Judgement, Measurement
from kakusan.runs import Run, WeightsFrom
from kakusan.seeing.sources import Drawn, Source, Stored, captions_like, classes_like
from kakusan.training import identity
from kakusan.weights import require_some

_MOST = 50_000  # samples, as publications measure
CAPTIONED, PROMPTS = "clip", "prompts"
"""The metrics of images and their own captions."""
_NETWORKS = {name: formula.network for name, formula in FORMULAS.items()}
_NETWORKS |= {name: network for name, network in PAIRED.items() if network is not None}


def evaluate(
    model: Model | str | Path | Run,
    *,
    against: str | Path | ImageSet | None = None,
    n: int | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int = 0,
    checkpoint: int | None = None,
    weights_from: WeightsFrom | None = None,
    device: str | None = None,
    show: bool = True,
) -> Judgement:
    """Judges samples of a model beside the noise floor of real images, and says by what protocol.

    Args:
        model: A model, or a run directory, whose configuration then fills in what is left out.
        against: Labelled real images; a run's own by default. Those of a source are made like the model's pictures:
            grey or in colour, and resized and cropped where these are square.
        n: Images on each side; half of the real ones by default.
        sampler, steps, guidance_scale, seed: How the samples are drawn, as in :func:`sample`.
        checkpoint, weights_from, device: Which weights of a run, and where, as in :func:`load`; not for a model.
        show: Whether to show progress.

    Raises:
        KakusanError: The images cannot be judged, or are not like the model's.
    """
    if not isinstance(model, (Model, Run, str, Path)):
        raise KakusanError(
            f"a {type(model).__name__} cannot be evaluated: give what kakusan.load returns, or a run directory"
        )
    given: dict[str, Any] = {"sampler": sampler, "steps": steps, "guidance": guidance_scale}
    if isinstance(model, Model):
        if against is None:
            raise KakusanError('a model alone does not know its data: say against what (against="digits")')
        if (checkpoint, weights_from, device) != (None, None, None):
            raise KakusanError("a model has its weights and its device: choose them when it is loaded, or give its run")
        run = None
    else:
        run = Run.open(model)
        model = load(run, checkpoint=checkpoint, weights_from=weights_from or "ema", device=device or "auto")
    settings = None if run is None else config.load(run.config_path)
    own = Evaluation() if settings is None else settings.evaluation
    given = {name: value if value is not None else getattr(own, name) for name, value in given.items()}
    if against is None and run is not None:
        real = _learned_from(run, checkpoint, show)
    else:
        data = None if settings is None else settings.data
        real = Stored(_stored(against, _like(against, model.shape, data), show))
    require_alike(model, real.images, real.name)  # before a judge is trained
    n = own.n if n is None else n
    prepared = reference(real, n=n, splits=own.splits, device=str(model.device), show=show)
    with Bar("sampling", 1, show=show) as bar:
        judgement = judge_samples(
            model, prepared, settings=settings_of(model, **given), seed=seed, name=real.name, progress=bar.report
        )
    for remark in judgement.remarks if show else ():
        say(remark)
    return judgement


def measure(
    images: Model | Run | ImageSet | str | Path,
    metrics: str | Sequence[str],
    *,
    against: Model | Run | ImageSet | str | Path | None = None,
    n: int | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int = 0,
    checkpoint: int | None = None,
    weights_from: WeightsFrom | None = None,
    weights: str | Path | None = None,
    offline: bool = False,
    device: str | None = None,
    keep_statistics: str | Path | None = None,
    draw_nearest: str | Path | None = None,
    show: bool = True,
) -> list[Measurement]:
    """Measures images by published metrics, with the doubt about each number and its protocol.

    Args:
        images: What is measured: a model, a run, images by path or name, or a set of them.
        metrics: ``"fid"``, ``"is"``, ``"kid"``, ``"prc"``, ``"copies"``, ``"copies-pixels"`` or ``"diversity"``; of
            stored images, paired by file name, ``"psnr"``, ``"ssim"``, ``"lpips"`` or ``"lpips-vgg"``; of captioned
            ones ``"clip"`` and, where they are scenes of ``shapes``, ``"prompts"``, which a run may draw as well.
            Several as a list, or parted by commas.
        against: What it is compared with; a run's own images by default. A file ``.npz`` holds statistics, of which the
            Fréchet distance is known.
        n: Images that a model draws, measured or compared with; by default as its run says, or as many as are on the
            other side, and at most 50,000.
        sampler, steps, guidance_scale, seed: How they are drawn, as in :func:`sample`.
        checkpoint, weights_from: Which weights of a run.
        weights: A directory with pretrained weights of your own.
        offline: Never touch the network; weights or images that are missing are then an error.
        device: Where to compute.
        keep_statistics: A file, ``.npz``, for the statistics of ``images``; among the metrics is the Fréchet distance.
        draw_nearest: A PNG for the samples nearest to a real image, each above that image; ``"copies"`` is among the
            metrics.
        show: Whether to show progress.

    Raises:
        KakusanError: A metric is unknown, its weights are wanting, or images cannot be compared.
    """
    names = _named(metrics)
    directory, keep, picture = (None if it is None else Path(it) for it in (weights, keep_statistics, draw_nearest))
    _require_places(names, keep, picture)
    _require_kind(names, images, against)
    networks = [_NETWORKS[name] for name in names if name in _NETWORKS]
    require_some([*features.weights_of(networks), *(["clip"] if CAPTIONED in names else [])], directory)
    features.require(networks, directory, offline)
    how = {"sampler": sampler, "steps": steps, "guidance_scale": guidance_scale}
    chosen = {"checkpoint": checkpoint, "weights_from": weights_from}
    found = []
    if PROMPTS in names and _is_run(images):  # which real images have no part in
        names = [name for name in names if name != PROMPTS]
        found = _draw_prompts(images, n, seed, how, {**chosen, "device": device}, show)
        if not names:
            return found
    samples, real = _sides(images, against, n, seed, how, chosen, offline=offline, device=device, show=show)
    where: dict[str, Any] = {
        "weights": directory,
        "offline": offline,
        "device": resolve(device or "auto"),
        "show": show,
    }
    if pairs := [name for name in names if name in PAIRED]:
        if not (isinstance(samples, Stored) and isinstance(real, Stored)):
            raise KakusanError(f"{pairs[0]} compares images, and {against} holds statistics of some (give images)")
        found += measure_pairs(samples.images, real.images, pairs, **where)
    if CAPTIONED in names:
        assert isinstance(samples, Stored), "a run was refused"
        found.append(measure_captions(samples.images, **where))
    if PROMPTS in names:
        assert isinstance(samples, Stored), "what draws was asked already"
        found.append(measure_scenes(samples.images))
    if others := [name for name in names if name in FORMULAS]:
        found += measured(samples, real, others, keep=keep, draw_nearest=picture, **where)
    for remark in dict.fromkeys(remark for it in found for remark in it.remarks) if show else ():
        say(remark)
    return found


def _draw_prompts(
    images: object, n: int | None, seed: int, how: Mapping[str, Any], chosen: Mapping[str, Any], show: bool
) -> list[Measurement]:
    """Returns how often the verifier of scenes accepts what a model, or a run's, draws of scenes that none has seen."""
    model, run = _drawing(images, **chosen)
    assert model is not None, "a model or a run was given"
    own = Evaluation() if run is None else config.load(run.config_path).evaluation
    walk = {"guidance" if name == "guidance_scale" else name: value for name, value in how.items()}
    walk = {name: getattr(own, name) if value is None else value for name, value in walk.items()}
    return measure_prompts(model, settings_of(model, **walk), n=n, seed=seed, show=show)


def _named(metrics: str | Sequence[str]) -> list[str]:
    names = [name.strip() for name in (metrics.split(",") if isinstance(metrics, str) else metrics)]
    for name in names:
        if name not in (known := (*FORMULAS, *PAIRED, CAPTIONED, PROMPTS)):
            raise unknown("metric", name, known)
    return names


def _require_places(names: Sequence[str], keep: Path | None, picture: Path | None) -> None:
    """Refuses, before anything is measured, files that cannot be written or have nothing to hold."""
    if keep is not None:
        statistics.require_file(keep, names)
    if picture is not None:
        require_suffix(picture, ".png")
        require_free_file(picture, overwrite=True)
        if not any(name in FORMULAS and FORMULAS[name].of_training for name in names):
            raise KakusanError("the nearest real images are those of the metrics copies and copies-pixels: measure one")


def _require_kind(names: Sequence[str], images: object, against: object) -> None:
    """Refuses, before anything is read, to draw what has to be stored: images with names, or with captions."""
    for name in names:
        if name in PAIRED and (_is_run(images) or against is None or _is_run(against)):
            raise KakusanError(f"{name} compares images in pairs: give a folder or archive of each (--against)")
        if name == CAPTIONED and _is_run(images):
            raise KakusanError(f"{name} compares images with their captions: give a folder or archive that has both")


def _sides(
    images: Model | Run | ImageSet | str | Path,
    against: Model | Run | ImageSet | str | Path | None,
    n: int | None,
    seed: int,
    how: Mapping[str, Any],
    chosen: Mapping[str, Any],
    *,
    offline: bool,
    device: str | None,
    show: bool,
) -> tuple[Source, Source | Statistics | None]:
    """Returns what is measured and what it is compared with.

    Args:
        images, against, n, seed, offline, device, show: As in :func:`measure`.
        how: Of it, how a model draws.
        chosen: Of it, which weights of a run.
    """
    model, run = _drawing(images, device=device, **chosen)
    own = None if run is None else config.load(run.config_path)
    for source in (images, against, own.data.source if own is not None and against is None else None):
        if offline and isinstance(source, str):
            require_here(source)
    if model is None:
        _refuse_drawing(n=None if _is_run(against) else n, **how, **chosen)
        samples = Stored(_stored(images, None, show))
        return samples, _real(against, None, None, samples.n if n is None else n, seed, device, show)
    if against is None and run is not None:
        real: Source | Statistics | None = _learned_from(run, chosen["checkpoint"], show)
    else:
        real = _real(against, model.shape, own, n, seed, device, show)
    walk = {"guidance" if name == "guidance_scale" else name: value for name, value in how.items()}
    return _drawn(model, own, real, n, seed, **walk), real


def _refuse_drawing(**given: object) -> None:
    """Refuses what says how images are drawn, of images that are there."""
    for name, value in given.items():
        if value is not None:
            raise KakusanError(f"{name} says how a model draws, and these images are there: leave it out")


def _drawing(
    images: object,
    checkpoint: int | None = None,
    weights_from: WeightsFrom | None = None,
    device: str | None = None,
) -> tuple[Model | None, Run | None]:
    """Returns the model that draws the images, and its run; of stored ones, neither."""
    if isinstance(images, Model):
        return images, None
    if isinstance(images, (str, Path)) and _is_run(images):
        images = Run.open(images)
    if not isinstance(images, Run):
        return None, None
    return load(images, checkpoint=checkpoint, weights_from=weights_from or "ema", device=device or "auto"), images


def _learned_from(run: Run, checkpoint: int | None, show: bool) -> Stored:
    """Returns the images that a run learns from, and which of them it held out; refuses others in their place."""
    settings = config.load(run.config_path)
    images = _stored(None, settings.data, show)
    mend = "bring them back, or say what to compare with: --against SOURCE"
    identity.require_same_images(
        run, ImageBatches(images), settings.data.source, run.checkpoint(checkpoint).state(), mend
    )
    return Stored.of_run(images, settings)


def _is_run(images: object) -> bool:
    return isinstance(images, (Model, Run)) or (isinstance(images, (str, Path)) and Run.is_at(images))


def _stored(images: object, like: Data | None, show: bool) -> ImageSet:
    if isinstance(images, ImageSet):
        return images
    if like is None and not isinstance(images, (str, Path)):
        raise KakusanError(f"a {type(images).__name__} cannot be measured: give a model, a run, or images")
    found = feeding.images(like or Data(source=source_named(images)), show)  # type: ignore[arg-type]
    for remark in remarks_on(found) if show else ():
        say(remark)
    return found


def _real(
    against: Model | Run | ImageSet | str | Path | None,
    shape: tuple[int, int, int] | None,
    own: config.Config | None,
    n: int | None,
    seed: int,
    device: str | None,
    show: bool,
) -> Source | Statistics | None:
    """Returns what is compared with; None where nothing was said and no run knows."""
    if isinstance(against, (str, Path)) and Path(against).suffix == statistics.SUFFIX:
        return statistics.read(against)
    model, run = _drawing(against, device=device)
    if model is not None:
        settings = None if run is None else config.load(run.config_path)
        return _drawn(model, settings, None, n, seed=seed + 1)  # or the same noise would lie under both
    if against is None:
        return None
    return Stored(_stored(against, _like(against, shape, None if own is None else own.data), show))


def _drawn(
    model: Model,
    own: config.Config | None,
    real: Source | Statistics | None,
    n: int | None = None,
    seed: int = 0,
    **how: object,
) -> Drawn:
    defaults = own.evaluation if own is not None else Evaluation()
    how = {name: value if value is not None else getattr(defaults, name) for name, value in how.items()}
    if n is None:
        n = defaults.n or min(_MOST, real.n or _MOST if real is not None else _MOST)
    labels, prompts = classes_like(model, n, real), captions_like(model, n, real)
    settings = settings_of(model, **how)
    return Drawn(model, sampling.plan(model, n=n, settings=settings, seed=seed, labels=labels, prompts=prompts))


def _like(against: object, shape: tuple[int, int, int] | None, own: Data | None) -> Data | None:
    """Returns how real images are read so that they are like the pictures of a model; None where they are as they are.

    Args:
        against: Where they come from, by name or path; or they themselves.
        shape: (C, H, W) of the model's pictures; None where nothing is drawn.
        own: The data of the model's run, whose other settings are kept; None for a model alone.
    """
    if shape is None or not isinstance(against, (str, Path)):
        return None
    channels, height, width = shape
    alike = {"size": height if height == width else None, "channels": channels if channels in (1, 3) else None}
    source = source_named(against)
    return (own or Data(source=source)).model_copy(update={"source": source, **alike})
