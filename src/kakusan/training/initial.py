"""Starting from the weights of another run, as far as they fit."""

from __future__ import annotations

from torch import nn

from kakusan.errors import KakusanError
from kakusan.runs import Run
from kakusan.tensors import read_tensors


def start_from(network: nn.Module, path: str) -> str:
    """Gives a network the averaged weights of a run's last checkpoint, by name and shape; the rest stays as drawn.

    Args:
        network: It is changed in place.
        path: The run's directory.

    Returns:
        A sentence that says what did not fit.

    Raises:
        KakusanError: There is no such run, it has no checkpoint, or nothing in it fits.
    """
    run = Run.open(path)
    checkpoint = run.checkpoint()
    theirs, own = read_tensors(checkpoint.weights_path("ema")), network.state_dict()
    fitting = {name: tensor for name, tensor in theirs.items() if name in own and own[name].shape == tensor.shape}
    if not fitting:
        raise KakusanError(
            f"network.init: none of the {len(theirs)} weights of {path} fits this network "
            "(give a run of a like network)"
        )
    network.load_state_dict(fitting, strict=False)
    shapes = {name: f"{name} {tuple(own[name].shape)}" for name in own.keys() - fitting.keys()}
    new = [f"{shape}, there {tuple(theirs[name].shape)}" if name in theirs else shape for name, shape in shapes.items()]
    unused = sorted(theirs.keys() - own.keys())
    return (
        f"starts from the averaged weights of {run.name} after {checkpoint.images:,} images: {len(fitting)} of "
        f"{len(own)} fit{_listed('; drawn anew', sorted(new))}{_listed('; not used', unused)}"
    )


def _listed(what: str, names: list[str]) -> str:
    return f"{what}: {'; '.join(names)}" if names else ""
