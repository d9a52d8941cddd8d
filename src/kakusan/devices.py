"""Where to compute: the name a person gives, checked against what is there; where a module is; how much memory."""

import ctypes
import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

try:
    import resource
except ImportError:  # a system without it
    resource = None  # type: ignore[assignment]

import torch
from torch import Tensor, nn

from kakusan.errors import KakusanError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # as malloc.h of the GNU C library numbers them
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def resolve(name: str | torch.device = "auto") -> torch.device:
    """Returns the device called ``name``; ``"auto"`` is the best there is: CUDA, else Apple's MPS, else the CPU.

    Raises:
        KakusanError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise KakusanError(f"unknown device {name!r} (use auto, cpu, cuda, cuda:1 or mps)") from None
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    count = present.get(device.type, 0)
    if (device.index or 0) >= count:
        there = ", ".join(f"{kind} × {n}" if kind == "cuda" else kind for kind, n in present.items() if n)
        raise KakusanError(f"there is no device {name} here, only {there} (use --device auto)")
    return device


def device_of(module: nn.Module) -> torch.device:
    """Returns the device of a module's weights; without weights, the CPU."""
    parameter = next(module.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Returns a tensor on another device; one that goes from the CPU to a GPU is waited for by nobody."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def synchronize(device: torch.device) -> None:
    """Waits until a device has done what it was asked for so far."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int | None:
    """Returns the most bytes that this process has held so far, on a GPU or else in main memory, if that is known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    if resource is None:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def seed_device(seed: int, device: torch.device) -> None:
    """Seeds what draws by itself on a device, and on the CPU: ``torch.manual_seed`` without the devices that are idle,
    each of which keeps a stack of calls for later, and takes longer than the optimizer of a small network."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def keep_freed_memory() -> None:
    """Lets this process keep what it frees, for what it takes next, instead of giving it back to the system.

    A training step on the CPU frees all that it took, and the next would wait for the system to clear every page of it
    anew. Does nothing where the C library is another than GNU's.
    """
    with suppress(AttributeError, OSError, TypeError):  # another library has no such function, or cannot be asked
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, -1)
        mallopt(_M_MMAP_MAX, 0)


def memory_of(device: torch.device) -> int | None:
    """Returns the bytes of memory that a device has: a GPU's own, or the machine's."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else memory()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that memory does not suffice."""
    # CUDA and MPS; and the CPU: torch itself in two ways, C++, and oneDNN, which says no more than that.
    told = ("out of memory", "not enough memory", "can't allocate memory", "std::bad_alloc", "could not create a ")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in told)


def processes_here() -> int:
    """Returns how many processes train together on this machine, as their launcher says: they share what it has."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def memory() -> int | None:
    """Returns the bytes of memory of this machine, or that its container may have, where the system says it."""
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    with suppress(OSError, ValueError):  # no container, or "max"
        return min(there, int(_CONTAINER.read_text()))
    return there


def machine() -> str:
    """Returns what this machine is, in a line that every language reads: ``CPU × 2, x86_64 AVX512, …``."""
    cpu = f"CPU × {torch.get_num_threads()}, {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    return f"{where}, Python {platform.python_version()}, torch {version('torch')}"
