"""Tensors in safetensors files, which hold numbers and nothing that could run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from kakusan.errors import KakusanError

_MEND = "give the configuration, or the network, that it was trained with"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file, on the CPU.

    Raises:
        KakusanError: It is missing, cut short, or no such file.
    """
    try:
        return load(path.read_bytes())
    except FileNotFoundError as error:
        raise KakusanError(f"{path} is missing (choose another checkpoint, or remove this one)") from error
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, why: object) -> KakusanError:
    """Returns the error of a file that cannot be relied upon."""
    return KakusanError(
        f"{path} is damaged or cut short (choose another checkpoint, or remove this one, and the one before is the "
        f"last): {why}"
    )


def pack(tensors: Mapping[str, Tensor], about: dict[str, str] | None = None) -> bytes:
    """Returns the content of a safetensors file, with what it says of itself; tensors may be on any device and share
    memory."""
    return save({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}, about)


def load_weights(network: nn.Module, path: Path) -> None:
    """Loads weights into a network of the same architecture.

    Raises:
        KakusanError: The file is damaged, or its tensors do not fit the network; the first that does not is named.
    """
    tensors, own = read_tensors(path), network.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors or name not in own:
            has, lacks = ("network", path) if name not in tensors else (path, "network")
            raise KakusanError(f"{path} is of another architecture: {has} has {name}, {lacks} does not ({_MEND})")
        if own[name].shape != tensors[name].shape:
            raise KakusanError(
                f"{path} is of another architecture: {name} has shape {tuple(tensors[name].shape)} there, "
                f"{tuple(own[name].shape)} in the network ({_MEND})"
            )
    network.load_state_dict(tensors)
