"""What a run that goes on must keep to be the same run: its settings, the kind of its images, and the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kakusan import config
from kakusan.build import Learner
from kakusan.customising import Customised
from kakusan.data.batches import ImageBatches
from kakusan.errors import KakusanError, counted
from kakusan.model import Model
from kakusan.runs import Run

# What may be changed of a run that goes on: anything else would make it another run.
_RESUMABLE = (
    "data.source",  # the same images may have moved, or lie in a cache now
    "data.max_broken",
    "optimizer.fused",
    "training.steps",
    "training.images",
    "training.epochs",
    "training.device",
    "training.compile",
    "training.microbatch",
    "training.tf32",
    "training.channels_last",
    "training.activation_checkpointing",
    "training.log_every",
    "training.checkpoint_every",
    "training.samples_every",
    "training.validate_every",
    "training.tracker",
    "training.keep",
)
_WATCHED = ("sampling.", "evaluation.")  # how samples are drawn and measured on the way, which teaches nothing
_GIVEN_AGAIN = ("network.kind", "network.name")  # of a network of one's own
# What training does not ask when it goes on; its autoencoder a run keeps.
_IDLE = (*_WATCHED, "network.init", "text.init", "data.latent", *_GIVEN_AGAIN)


def require_resumable(changes: Iterable[str]) -> None:
    """Refuses changes to fields, by name, that would make another run.

    Raises:
        KakusanError: One of them may not change.
    """
    for key in changes:
        if key not in (*_RESUMABLE, *_GIVEN_AGAIN) and not key.startswith(_WATCHED):
            raise KakusanError(
                f"{key} cannot change in a run that goes on: only its length, device and what it writes can "
                f"({', '.join((*_RESUMABLE, *(f'{section}*' for section in _WATCHED)))}); start another run instead"
            )


def require_same(run: Run, settings: config.Config, state: Mapping[str, Any]) -> None:
    """Refuses a configuration that somebody changed so that another run would go on under this one's name."""
    now = lasting(settings)
    for key, before in state.get("settings", {}).items():
        if key in now and now[key] != before:
            raise KakusanError(
                f"{key} was {before} when {run.path} was trained, and its {run.config_path.name} says {now[key]} now: "
                "that would be another run (put it back, or start another run)"
            )


def lasting(settings: config.Config) -> dict[str, Any]:
    """Returns the fields that decide what is learned, and may not change in a run that goes on."""
    return {
        key: value
        for key, value in config.flat(settings).items()
        if key not in _RESUMABLE and not key.startswith(_IDLE)
    }


def require_same_images(
    run: Run,
    batches: ImageBatches,
    source: str,
    state: Mapping[str, Any],
    mend: str = "give the images that it was trained on",
) -> None:
    """Refuses images that a run did not learn from, as far as a glance at some of them tells.

    Args:
        run: The run.
        batches: The images.
        source: Where they are from.
        state: Of one of its checkpoints.
        mend: What to do about it.
    """
    there = batches.epoch
    if state.get("epoch", there) != there:
        raise KakusanError(
            f"{run.path} learned from {counted(state['epoch'], 'image')}, and there are {there:,} in {source} now: "
            f"which of them it held out, and their order, would be others ({mend})"
        )
    if state.get("fingerprint") not in (None, batches.fingerprint):
        raise KakusanError(
            f"{run.path} learned from other images, or other labels, than those in {source} now ({mend})"
        )
    if batches.told is not None and state.get("words") not in (None, batches.told):
        raise KakusanError(f"{run.path} learned from other captions than those in {source} now ({mend})")


def autoencoder_of(model: Learner | Customised) -> str:
    """Returns the hash of the autoencoder in whose latents a model works; nothing for pixels."""
    codec = model.codec if isinstance(model, Model) else None
    return "" if codec is None else codec.weights_hash


def pipeline_of(model: Learner | Customised) -> str:
    """Returns the hash of the pipeline of which something learns; nothing for what learns by itself."""
    return model.base.weights_hash if isinstance(model, Customised) else ""


def require_alike(run: Run, model: Learner | Customised, state: Mapping[str, Any]) -> None:
    """Refuses images of another shape, or other classes, than a run learned from."""
    if state.get("autoencoder", "") != autoencoder_of(model):
        raise KakusanError(
            f"{run.path} learned in the latents of another autoencoder than {run.autoencoder_path.name} there now (put "
            "its own back)"
        )
    if isinstance(model, Customised) and state.get("pipeline") != pipeline_of(model):
        raise KakusanError(
            f"{run.path} taught another {model.base.name} than the one that is there now: its weights have changed "
            "(put the old ones back, or begin another run)"
        )
    shape, classes = list(model.shape), list(model.class_names)
    if (state.get("shape"), state.get("class_names")) != (shape, classes):
        raise KakusanError(
            f"{run.path} learned images of shape {state.get('shape')} and classes {state.get('class_names')}, and "
            f"these are of shape {shape} and classes {classes}: "
            "give the images that it was trained on"
        )
