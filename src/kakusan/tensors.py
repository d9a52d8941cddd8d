"""Tensors in safetensors files, which hold numbers and nothing that could run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from kakusan.errors import KakusanError

_MEND = "give the configuration, or the network, that it was trained with"


def read_tensors(path: Path, checksum: int | None = None) -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file, on the CPU.

    Args:
        path: The file.
        checksum: The CRC-32 of its bytes, where it is known.

    Raises:
        KakusanError: It is missing, cut short, no such file, or has another checksum.
    """
    try:
        content = path.read_bytes()
        if checksum not in (None, crc32(content)):
            raise _damaged(path, "its bytes are not those that were written")
        return load(content)
    except FileNotFoundError as error:
        raise KakusanError(f"{path} is missing (choose another checkpoint, or remove this one)") from error
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, why: object) -> KakusanError:
    return KakusanError(
        f"{path} is damaged or cut short (choose another checkpoint, or remove this one, and the one before is the "
        f"last): {why}"
    )


def pack(tensors: Mapping[str, Tensor], about: dict[str, str] | None = None) -> bytes:
    """Returns the content of a safetensors file, with what it says of itself; tensors may be on any device and share
    memory."""
    return save({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}, about)


def load_weights(network: nn.Module, path: Path, checksum: int | None = None) -> None:
    """Loads weights into a network of the same architecture.

    Args:
        network: The network.
        path, checksum: As in :func:`read_tensors`.

    Raises:
        KakusanError: The file is damaged, or its tensors do not fit the network; the first that does not is named.
    """
    tensors, own = read_tensors(path, checksum), network.state_dict()
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
