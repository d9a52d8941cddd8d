"""Statistics of an image set in a file: all that a Fréchet distance needs of it, in a few megabytes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kakusan.errors import KakusanError
from kakusan.evaluation.moments import Moments
from kakusan.files import atomic_write, require_free_file

SUFFIX = ".npz"
_ANY = 2


@dataclass(frozen=True, eq=False)
class Statistics:
    """The moments of what a network saw in images.

    Attributes:
        name: What a person calls them.
        n: How many images there were; None in a file that does not say.
        moments: Mean and covariance of the features.
        features: Whose features, as in a stamp; None in a file of another program, which does not say.
        digest: Leading digits of the hash of the file.
    """

    name: str
    n: int | None
    moments: Moments
    features: str | None
    digest: str

    @property
    def provenance(self) -> dict[str, Any]:
        """What decides them, for a stamp."""
        return {"images": self.name, "images_n": self.n, "images_hash": self.digest}

    @property
    def remarks(self) -> list[str]:
        """What makes a distance from them less than it seems, a sentence each."""
        if self.features is not None:
            return []
        return [f"{self.name} does not say which network saw its images: the distance may be of another kind"]

    def require(self, features: str, dimensions: int) -> None:
        """Refuses what another network saw.

        Raises:
            KakusanError: They are of other features than these.
        """
        if self.moments.dimensions != dimensions or self.features not in (None, features):
            theirs = f"{self.moments.dimensions} features of {self.features or 'an unknown network'}"
            raise KakusanError(
                f"{self.name} holds statistics of {theirs}, and samples are seen by {features}, in {dimensions}: "
                "compare like with like (make the statistics anew)"
            )


def require_file(path: Path, metrics: Sequence[str]) -> None:
    """Refuses, before anything is measured, a file or metrics with which no statistics can be kept.

    Raises:
        KakusanError: Another suffix, a place that cannot be written, or no Fréchet distance among the metrics.
    """
    if path.suffix != SUFFIX:
        raise KakusanError(f"statistics are kept in a file that ends in {SUFFIX}, unlike {path}")
    if "fid" not in metrics:
        raise KakusanError("statistics are those of the Fréchet distance: measure it too (--metrics fid)")
    require_free_file(path, overwrite=True)


def save(path: str | Path, moments: Moments, features: str) -> None:
    """Writes statistics, whole or not at all: ``mu`` and ``sigma``, as other programs do, ``n`` and ``features``.

    Raises:
        KakusanError: The disk refuses it.
    """
    content = io.BytesIO()
    np.savez(
        content,
        mu=moments.mean.numpy(),
        sigma=moments.covariance.numpy(),
        n=np.int64(moments.n),
        features=np.str_(features),
    )
    atomic_write(path, content.getvalue())


def read(path: str | Path) -> Statistics:
    """Returns the statistics of a file; nothing in it can run.

    Args:
        path: One of :func:`save`, or of another program that keeps ``mu`` and ``sigma``.

    Raises:
        KakusanError: It is missing, cut short, or holds no such statistics.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            mean, covariance = (torch.from_numpy(np.asarray(held[name], np.float64)) for name in ("mu", "sigma"))
            n = int(held["n"]) if "n" in held else None
            features = str(held["features"]) if "features" in held else None
    except FileNotFoundError as error:
        raise KakusanError(f"there is no file {path} (give statistics, images or a run)") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise KakusanError(f"{path} is cut short, or holds no statistics: arrays mu and sigma ({error})") from error
    if (
        mean.ndim != 1
        or covariance.shape != (len(mean), len(mean))
        or not (covariance.isfinite().all() and mean.isfinite().all())
    ):
        raise KakusanError(
            f"{path} holds no statistics: mu of shape {tuple(mean.shape)} and sigma of {tuple(covariance.shape)}"
        )
    # A distance asks for means and covariances alone: where nobody says of how many images, any number will do.
    moments = Moments.from_covariance(n or _ANY, mean, covariance)
    return Statistics(path.name, n, moments, features, sha256(content).hexdigest()[:16])
