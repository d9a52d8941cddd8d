"""kakusan (拡散): train, sample, measure and fine-tune diffusion models.

Everything is imported when it is first used, so that ``import kakusan`` and ``kakusan --help`` do not load torch.
"""

from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kakusan import denoiser, parametrization, schedules
    from kakusan.api import evaluate, generate, load, load_autoencoder, load_clip, measure, sample, train, walk
    from kakusan.errors import KakusanError

__all__ = [
    "KakusanError",
    "denoiser",
    "evaluate",
    "generate",
    "load",
    "load_autoencoder",
    "load_clip",
    "measure",
    "parametrization",
    "sample",
    "schedules",
    "train",
    "walk",
]

_CALLS = ("evaluate", "generate", "load", "load_autoencoder", "load_clip", "measure", "sample", "train", "walk")
_HOMES = {**dict.fromkeys(_CALLS, "api"), "KakusanError": "errors"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"kakusan.{_HOMES[name]}"), name)
    if not name.startswith("_") and find_spec(f"kakusan.{name}") is not None:
        return import_module(f"kakusan.{name}")
    raise AttributeError(f"module 'kakusan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))})
