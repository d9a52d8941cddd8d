"""What a notebook calls: train, load, sample, walk, evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from kakusan import build, config, sampling
from kakusan.condition import Labels
from kakusan.config.models import Data, Evaluation, Sampling
from kakusan.config.names import PYTHON
from kakusan.data.images import ImageSet
from kakusan.data.remarks import remarks_on
from kakusan.data.sources import source_named
from kakusan.denoiser import Denoise, Denoiser
from kakusan.devices import resolve
from kakusan.errors import KakusanError
from kakusan.evaluation.evaluate import evaluate as judge_samples
from kakusan.evaluation.evaluate import reference, require_alike
from kakusan.files import free_path
from kakusan.model import Model
from kakusan.parametrization import Parametrization
from kakusan.progress import Bar, say
from kakusan.results import Judgement
from kakusan.runs import Run, WeightsFrom
from kakusan.samplers.step import Step
from kakusan.schedules import Schedule
from kakusan.tensors import load_weights
from kakusan.training import start


def train(
    preset: str | Path | config.Config | None = None,
    *,
    run: str | Path | None = None,
    resume: str | Path | Run | None = None,
    network: nn.Module | None = None,
    data: str | Path | ImageSet | Iterable[Any] | None = None,
    class_names: Sequence[str] = (),
    schedule: Schedule | str | None = None,
    parametrization: Parametrization | str | None = None,
    steps: int | None = None,
    images: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    show: bool = True,
) -> Run:
    """Trains a denoiser and returns its run directory; Ctrl-C saves a checkpoint and returns as well.

    Args:
        preset: A preset, the path of a YAML file, or a configuration; without one the defaults.
        run: The directory to write, new or empty; by default
            ``runs/<name>-<date>-<time>`` after the preset, or the kind of network where there is no preset's name.
        resume: A run to go on with, in place of ``preset`` and ``run``: from its last checkpoint, or from the start
            where it has none yet. With ``steps``, ``images`` or ``epochs`` it is extended; a finished one stays. What
            the run was given in Python, a network or a loader, must be given again.
        network: A network of your own, called as ``network(x, clock)`` or ``network(x, clock, condition)``. It is
            trained in place.
        data: A source of images by name or path, an :class:`ImageSet`, or a ``DataLoader`` that yields images in
            [−1, 1], alone or with labels. Its order is its own, so such a run resumes but does not repeat exactly.
        class_names: The classes that condition a network of your own, where the data do not name them.
        schedule: A schedule, or the name of its kind.
        parametrization: A parametrization, or the name of its kind.
        steps, images, epochs: How long; one of them.
        batch_size, seed, device: Those fields of the section ``training``.
        overrides: Any field: ``{"optimizer.learning_rate": 1e-3}``, or by section, ``{"optimizer": {...}}``.
        overwrite: Accept a directory that holds files; a run in it is replaced, once this one has a checkpoint.
        show: Whether to show progress.

    Raises:
        KakusanError: Something asked for cannot be had; or the loss became NaN or infinite again and again. Whatever
            ends a new run before its first line of books, the directory is then as it was.

    On a CPU this process keeps from now on the memory that a step frees, for the next one, and does not return it.
    """
    for name, value in {"preset": preset, "run": run, "resume": resume}.items():
        if value is not None and not isinstance(value, (str, Path, Run, config.Config)):
            raise KakusanError(f"{name} must be a name or a path, not a {type(value).__name__}")
    given = _fields(
        overrides,
        data=data,
        network=network,
        schedule=schedule,
        parametrization=parametrization,
        training={
            "steps": steps,
            "images": images,
            "epochs": epochs,
            "batch_size": batch_size,
            "seed": seed,
            "device": device,
        },
    )
    if resume is not None:
        if preset is not None or run is not None:
            raise KakusanError("resume names the run to go on with: leave out preset and run")
        return start.resume(
            resume if isinstance(resume, Run) else Run.open(resume),
            given,
            data=data,
            network=network,
            class_names=class_names,
            show=show,
        )

    settings = _settings(preset, given, data)
    name = preset if isinstance(preset, str) and "/" not in preset else settings.network.kind
    return start.begin(
        settings,
        run if run is not None else free_path(f"runs/{Path(name).stem}-{datetime.now():%Y-%m-%d-%H%M%S}"),
        data=data,
        network=network,
        class_names=class_names,
        loaders_batch_size="training.batch_size" not in given,
        overwrite=overwrite,
        show=show,
    )


def load(
    run: str | Path | Run,
    *,
    network: nn.Module | None = None,
    checkpoint: int | None = None,
    weights_from: WeightsFrom = "ema",
    device: str = "auto",
) -> Model:
    """Returns the model of a run, in evaluation mode; its ``source`` says which weights these are.

    Args:
        run: The run directory.
        network: The network, where the run trained one of your own; its weights are replaced.
        checkpoint: Images seen when it was saved; the last one by default.
        weights_from: ``"ema"``, the running average, or ``"raw"``, the weights as trained.
        device: Where to put it.

    Raises:
        KakusanError: There is no such run or checkpoint, or its weights are damaged or do not fit.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    settings = config.load(run.config_path)
    chosen = run.checkpoint(checkpoint)
    state = chosen.state()
    try:
        shape, class_names = tuple(state["shape"]), tuple(state["class_names"])
    except (KeyError, TypeError) as error:
        raise KakusanError(
            f"{chosen.path} does not say what its pictures are like (choose another checkpoint)"
        ) from error
    where = resolve(device)
    model = build.model(settings, shape, class_names, network)
    path = chosen.weights_path(weights_from)
    load_weights(model.denoiser.network, path)
    model.denoiser.to(where).eval()
    return Model(
        model.denoiser,
        shape,
        class_names,
        sampling=settings.sampling,
        source=f"{run.name}, {weights_from} weights after {chosen.images} images",
        images=chosen.images,
        weights_hash=sha256(path.read_bytes()).hexdigest(),
    )


def sample(
    model: Model | Denoiser | Denoise,
    n: int = 1,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    eta: float | None = None,
    variance: str | None = None,
    grid: str | None = None,
    guidance_scale: float | None = None,
    threshold: str | None = None,
    labels: Labels | None = None,
    seed: int = 0,
    shape: Sequence[int] | None = None,
    batch: int | None = None,
    show: bool = False,
) -> Tensor:
    """Draws ``n`` images, float32 of shape (n, C, H, W), on the model's device; a model's lie in [−1, 1].

    What is left out is as the model's run was configured; for a bare denoiser it is DDIM, 50 steps,
    guidance 1 and no threshold.

    Args:
        model: What :func:`load` returns; or, with ``shape``, a denoiser, or any object with ``.schedule`` and
            ``__call__(x, t)``. The values of those are left as they come: they may be latents.
        n: How many images.
        sampler: ``"ddim"``, ``"ddpm"`` or ``"heun"``.
        steps: Steps of the walk.
        eta: DDIM's randomness, 0 to 1.
        variance: DDPM's, ``"posterior"`` or ``"beta"``.
        grid: ``"trailing"``, ``"leading"``, ``"uniform_log_snr"`` or ``"karras"``.
        guidance_scale: w in ε_∅ + w·(ε_c − ε_∅): 0 unconditional, 1 plainly conditional.
        threshold: ``"none"``, ``"clip"`` or ``"dynamic"``.
        labels: One class an image, by number or name, or one for all; −1 is no class. By default each class in turn.
        seed: Image i's noise follows from this and i, whatever the batch.
        shape: (C, H, W), for a bare denoiser.
        batch: Images drawn at a time.
        show: Whether to show progress.

    Raises:
        KakusanError: Something asked for cannot be had.
    """
    plan = _plan(
        model,
        n,
        seed,
        labels,
        shape,
        sampler=sampler,
        steps=steps,
        eta=eta,
        variance=variance,
        grid=grid,
        guidance=guidance_scale,
        threshold=threshold,
        batch=batch,
    )
    with Bar("sampling", 1, show=show) as bar:
        images = sampling.sample(plan, bar.report)
    return images.clamp(-1, 1) if isinstance(model, Model) else images


def walk(
    model: Model | Denoiser | Denoise,
    n: int = 1,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    eta: float | None = None,
    variance: str | None = None,
    grid: str | None = None,
    guidance_scale: float | None = None,
    threshold: str | None = None,
    labels: Labels | None = None,
    seed: int = 0,
    shape: Sequence[int] | None = None,
) -> Iterator[Step]:
    """Yields every step on the way to ``n`` images: ``t``, ``x`` and the predicted ``x0``, all images at once.

    Arguments and errors are those of :func:`sample`; whoever drives the iterator may stop it.
    """
    plan = _plan(
        model,
        n,
        seed,
        labels,
        shape,
        sampler=sampler,
        steps=steps,
        eta=eta,
        variance=variance,
        grid=grid,
        guidance=guidance_scale,
        threshold=threshold,
    )
    return sampling.walk(plan)


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
        own, data = Evaluation(), None
    else:
        run = model if isinstance(model, Run) else Run.open(model)
        settings = config.load(run.config_path)
        own, data = settings.evaluation, settings.data
        model = load(run, checkpoint=checkpoint, weights_from=weights_from or "ema", device=device or "auto")
    given = {name: value if value is not None else getattr(own, name) for name, value in given.items()}
    n = own.n if n is None else n
    if not isinstance(against, ImageSet):
        against = build.images(_compared_with(against, model.shape, data), show)
        for remark in remarks_on(against) if show else ():
            say(remark)
    require_alike(model, against, against.name)  # before a judge is trained
    prepared = reference(against, n=n, splits=own.splits, device=str(model.device), show=show)
    with Bar("sampling", 1, show=show) as bar:
        judgement = judge_samples(
            model, prepared, settings=_sampling(model, **given), seed=seed, name=against.name, progress=bar.report
        )
    for remark in judgement.remarks if show else ():
        say(remark)
    return judgement


def _compared_with(against: str | Path | None, shape: tuple[int, int, int], own: Data | None) -> Data:
    """Returns where real images come from that are like the pictures of a model, of ``shape``.

    Args:
        against: The source; None is the data of the model's run.
        shape: (C, H, W).
        own: That data; None for a model alone.
    """
    if against is None:
        assert own is not None, "a model alone does not know its data"
        return own
    channels, height, width = shape
    alike = {"size": height if height == width else None, "channels": channels if channels in (1, 3) else None}
    source = source_named(against)
    return (own or Data(source=source)).model_copy(update={"source": source, **alike})


def _fields(
    overrides: Mapping[str, Any] | None,
    *,
    data: object,
    network: nn.Module | None,
    schedule: Schedule | str | None,
    parametrization: Parametrization | str | None,
    training: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns what :func:`train` was given as fields of the configuration."""
    fields: dict[str, Any] = {}
    for name, value in (overrides or {}).items():
        fields |= _section(name, value) if isinstance(value, Mapping) else {name: value}
    fields |= _section("training", {name: value for name, value in training.items() if value is not None})
    if schedule is not None:
        fields |= _section("schedule", schedule if isinstance(schedule, str) else build.schedule_settings(schedule))
    if parametrization is not None:
        fields |= _section("parametrization", build.parametrization_settings(parametrization))
    if network is not None:
        build.require_network(network)
        fields |= _section("network", {"kind": "own", "name": type(network).__name__})
    if isinstance(data, (str, Path)):
        fields["data.source"] = source_named(data)
    return fields


def _section(section: str, settings: Mapping[str, object] | str) -> dict[str, object]:
    if isinstance(settings, str):
        settings = {"kind": settings}
    return {f"{section}.{name}": value for name, value in settings.items()}


def _plan(
    model: object,
    n: int,
    seed: int,
    labels: Labels | None,
    shape: Sequence[int] | None,
    **given: object,
) -> sampling.Plan:
    if isinstance(model, (str, Path, Run)):
        raise KakusanError(
            f"a run is loaded first, and once: model = kakusan.load({str(getattr(model, 'path', model))!r})"
        )
    if not (isinstance(model, Model) or (hasattr(model, "schedule") and callable(model))):
        raise KakusanError(
            f"a {type(model).__name__} is no model: give what kakusan.load returns, a Denoiser, or any object with "
            ".schedule and __call__(x, t)"
        )
    return sampling.plan(model, n=n, settings=_sampling(model, **given), seed=seed, labels=labels, shape=shape)


def _sampling(model: object, **given: object) -> Sampling:
    # A bare denoiser's values may be latents, which know no limits.
    defaults = model.sampling if isinstance(model, Model) else Sampling(threshold="none")
    return sampling.settings(defaults, **given)


def _settings(preset: str | Path | config.Config | None, given: dict[str, Any], data: object) -> config.Config:
    if data is not None and not isinstance(data, (str, Path)):
        name = data.name if isinstance(data, ImageSet) else type(data).__name__
        given = {**given, "data.source": f"{PYTHON}{name}"}
    if isinstance(preset, config.Config):
        return config.changed(preset, given)
    return config.from_mapping({}, given) if preset is None else config.load(preset, given)
