"""To and from other libraries: a run leaves as a directory that diffusers loads, and such a directory becomes a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import as_file
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn
from torch.optim import AdamW

from kakusan import build, config, latents, sampling, texts
from kakusan.api.drawing import load
from kakusan.codec import Codec
from kakusan.config.models import UNet as UNetSection
from kakusan.config.names import MODELS, PYTHON, shipped
from kakusan.errors import KakusanError, unknown
from kakusan.files import claimed, replacing, require_free, writing
from kakusan.interop.autoencoders import autoencoder_from_diffusers
from kakusan.interop.diffusers import unet_from_diffusers
from kakusan.interop.export import DTYPES, PARTS, Difference, in_half, write_pipeline
from kakusan.interop.pipelines import Pipeline, read_pipeline
from kakusan.interop.schedulers import chain_of, parametrization_of
from kakusan.interop.text import CLIP_FOLDER, write_clip
from kakusan.networks import Captioned, TextEncoder, UNet
from kakusan.networks.arguments import arguments_of
from kakusan.progress import say
from kakusan.runs import Run, WeightsFrom
from kakusan.training import checkpoints, identity
from kakusan.training.ledger import Ledger


def export(
    run: str | Path | Run,
    directory: str | Path,
    *,
    checkpoint: int | None = None,
    weights_from: WeightsFrom = "ema",
    dtype: str = "float32",
    clip: str | Path | Run | None = None,
    guidance_scale: float | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> Difference:
    """Writes a run as diffusers loads it: ``unet/``, ``scheduler/``, ``vae/`` where it learns in latents,
    ``text_encoder/`` and ``tokenizer/`` where it reads, and a card with the code that draws. What comes back is
    compared, and is the same model.

    Args:
        run: The run.
        directory: Where to, new or empty.
        checkpoint, weights_from: Which of its weights, as in :func:`kakusan.load`.
        dtype: ``float32``, or ``float16``: half as large, its weights rounded after they were compared.
        clip: The run of a CLIP that goes with it, into ``clip/``.
        guidance_scale: What it shall be drawn with unless told otherwise; None: as the run was configured.
        name: What its card calls it; None: as the run.
        overwrite: Accept a directory that holds files.

    Raises:
        KakusanError: diffusers cannot express it, which is named; the directory is as it was.
    """
    run = Run.open(run)
    place = Path(directory)
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    require_free(place, overwrite)
    if config.load(run.config_path).network.kind == "autoencoder":
        raise KakusanError(
            f"{run.path} trained an autoencoder, which leaves with the run of a denoiser in its latents, as its vae "
            "(kakusan.interop.autoencoders.autoencoder_to_diffusers converts one alone)"
        )
    model = load(run, checkpoint=checkpoint, weights_from=weights_from, device="cpu")
    model = replace(model, sampling=sampling.settings(model.sampling, guidance=guidance_scale))
    matcher = None if clip is None else texts.matcher(clip)
    with put(place) as temporary:
        difference = write_pipeline(model, temporary, name or run.name)
        if matcher is not None:
            write_clip(matcher.network, matcher.words, temporary / CLIP_FOLDER)
        if dtype == "float16":
            in_half(temporary)
    return difference


@contextmanager
def put(place: Path) -> Iterator[Path]:
    """A context with a directory beside ``place``; the model that is in it at the end goes there, with a ``README.md``,
    whole or not at all."""
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
    with writing(place), TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as temporary:
        yield Path(temporary)
        readable = (Path(temporary) / "README.md").stat().st_mode
        for file in Path(temporary).rglob("*.safetensors"):
            file.chmod(readable)  # safetensors lets nobody else read what it writes
        # All parts give way, or one of an earlier model would be taken for one of this.
        with replacing(place, {*PARTS, *(part.name for part in Path(temporary).iterdir())}):
            place.mkdir(exist_ok=True)
            for part in Path(temporary).iterdir():
                part.rename(place / part.name)


def export_shipped(name: str, directory: str | Path, *, overwrite: bool = False) -> None:
    """Writes a pipeline that ships with this package, as it is, into a directory.

    Args:
        name: One of :data:`kakusan.config.names.MODELS`.
        directory: Where to, new or empty.
        overwrite: Accept a directory that holds files.

    Raises:
        KakusanError: There is no such pipeline; the directory is as it was.
    """
    folder = shipped(name)
    if folder is None:
        raise unknown("model", name, MODELS)
    place = Path(directory)
    require_free(place, overwrite)
    with as_file(folder) as files, put(place) as temporary:
        shutil.copytree(files, temporary, dirs_exist_ok=True)


def import_(name: str | Path, path: str | Path, *, class_names: Sequence[str] = (), overwrite: bool = False) -> Run:
    """Makes a run directory of a diffusers pipeline: unconditional, conditioned on classes or on text, or in latents.

    The last row of its class embedding is taken for the null class, as exports have it, and none of the classes.

    Args:
        name: The pipeline's directory, or ``"hub:OWNER/NAME"``.
        path: The run directory, new or empty.
        class_names: The classes; by default as our own export says, or their numbers.
        overwrite: Accept a directory that holds files.

    Raises:
        KakusanError: There is no such pipeline, its weights are a pickle, or it has something that is not known here,
            which is named.
    """
    require_free(path, overwrite)
    found = read_pipeline(str(name))
    unet = unet_from_diffusers(found.unet)
    codec, shape = _pictures(str(name), found, unet)
    classes = _classes(str(name), unet.classes or 0, class_names or (found.beside.class_names if found.beside else ()))
    text, words = found.text or (None, None)
    network = unet if text is None else Captioned(unet, text)
    given = found.beside.sampling.model_dump() if found.beside else {}
    latent = {"latent": str(Run(Path(path)).autoencoder_path)} if codec else {}
    settings = config.from_mapping(
        {
            "data": {"source": f"{PYTHON}{name}", **latent},
            "network": _section(unet, shape[2] // (codec.network.factor if codec else 1)),
            **({} if text is None else {"text": _sizes(text)}),
            "schedule": build.schedule_settings(chain_of(found.scheduler)),
            "parametrization": build.parametrization_settings(parametrization_of(found.scheduler)),
            "sampling": {**given, "threshold": _threshold(found.scheduler) if codec is None else None},
        }
    )
    model = build.learner(settings, shape, classes, None, codec, words)  # refused here, where they do not go together
    model.network.load_state_dict(network.state_dict())
    with claimed(path):
        run = Run.create(path, overwrite)
        try:
            run.write_config(config.to_yaml(settings))
            if codec is not None:
                latents.write(codec, run.autoencoder_path)
            if words is not None:
                words.write(run.words_path)
            facts = {
                "shape": list(shape),
                "class_names": list(classes),
                "settings": identity.lasting(settings),
                "autoencoder": latents.read(run.autoencoder_path).weights_hash if codec is not None else "",
            }
            _save(run, model.network, facts)
        except BaseException:
            run.undo()
            raise
    return run


def _pictures(name: str, found: Pipeline, unet: UNet) -> tuple[Codec | None, tuple[int, int, int]]:
    """Returns the autoencoder of a pipeline, if it has one, and the shape of its pictures."""
    size = found.unet.config["sample_size"]
    if size is None:
        raise KakusanError(
            f"{name} does not say how large its pictures are: sample_size is missing in its configuration"
        )
    if unet.out_channels != unet.in_channels:
        raise KakusanError(
            f"{name} gives {unet.out_channels} channels of {unet.in_channels}: learned variance is not known"
        )
    height, width = (size, size) if isinstance(size, int) else size
    if found.vae is None:
        return None, (unet.in_channels, height, width)
    autoencoder = autoencoder_from_diffusers(found.vae)
    if autoencoder.latent_channels != unet.in_channels:
        raise KakusanError(
            f"{name} has latents of {autoencoder.latent_channels} channels and a unet of {unet.in_channels}"
        )
    shape = (autoencoder.in_channels, height * autoencoder.factor, width * autoencoder.factor)
    return Codec(autoencoder, shape, source=f"{name}/vae"), shape


def _classes(name: str, count: int, class_names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of so many classes: those given, or numbers."""
    classes = tuple(class_names) or tuple(map(str, range(count)))
    if len(set(classes)) < len(classes) or not all(classes):
        raise KakusanError(f"class names must differ, and none may be empty, unlike {', '.join(map(repr, classes))}")
    if len(classes) != count:
        raise KakusanError(f"{name} has {count} classes, and {len(classes)} names were given")
    return classes


def _threshold(scheduler: Mapping[str, Any]) -> str:
    """Returns how a scheduler keeps predicted pixels in their range."""
    if scheduler.get("thresholding"):
        return "dynamic" if scheduler.get("sample_max_value", 1.0) > 1 else "clip"
    if not scheduler.get("clip_sample", "clip_sample_range" in scheduler):
        return "none"
    if (limit := scheduler.get("clip_sample_range", 1.0)) == 1:
        return "clip"
    say(f"its scheduler keeps pixels within ±{limit:g}, and nothing does here (threshold clip keeps them within ±1)")
    return "none"


def _section(network: UNet, width: int) -> dict[str, Any]:
    """Returns the section of a configuration from which an equal network is built."""
    known = arguments_of(network)
    return {
        "kind": "unet",
        **{name: value for name, value in known.items() if name in UNetSection.model_fields},
        "attention_resolutions": [width // 2**level for level in network.attention_levels],
        "class_conditional": network.classes is not None,
        "text_conditional": network.text_width is not None,
    }


def _sizes(text: TextEncoder) -> dict[str, int]:
    """Returns the section of a configuration from which an equal text encoder is built."""
    return {field: getattr(text, field) for field in ("width", "layers", "heads", "length", "vocabulary")}


def _save(run: Run, network: nn.Module, facts: dict[str, Any]) -> None:
    """Writes the weights as a checkpoint of no training, from which one can begin."""
    begun = {"step": 0, "images": 0, "total_images": 0, **Ledger(1, None).state()}
    state = {**checkpoints.written_by(), **begun, **facts}
    idle = AdamW(network.parameters())
    checkpoints.save(run, network=network, average=network, optimizer=idle, state=state, keep=1)
