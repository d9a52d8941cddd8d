"""Features on disk: as many as there are images, mapped rather than loaded, and gone on with where they stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from kakusan.files import atomic_write, writing

_DONE = "done.json"
_BYTES = 4  # of a float32


class Store:
    """One file of float32 a layer, filled from the first image to the last.

    What was added stays, however the process ends, and a store of the same place goes on after it.

    Args:
        directory: Its own; made if need be.
        n: Images in all.
        layers: The dimensions of every layer.

    Raises:
        KakusanError: The disk refuses it.

    Attributes:
        done: Images whose features are there.
        seconds: Time that these images took to come.
    """

    def __init__(self, directory: Path, n: int, layers: Mapping[str, int]) -> None:
        self.directory, self.n = directory, n
        self._layers = dict(layers)
        self.done, self.seconds = self._found()
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)

    @property
    def whole(self) -> bool:
        """Whether all are there."""
        return self.done == self.n

    def add(self, features: Mapping[str, Tensor], seconds: float = 0.0) -> None:
        """Adds the features of the next images, one tensor of shape (B, D) a layer, which took so long to come.

        Raises:
            KakusanError: The disk refuses them; those before are whole.
        """
        count = 0
        with writing(self.directory):
            for layer, dimensions in self._layers.items():
                count = len(features[layer])
                with self._path(layer).open("r+b" if self.done else "wb") as file:
                    file.seek(self.done * dimensions * _BYTES)
                    file.write(features[layer].contiguous().numpy().tobytes())
                    os.fsync(file.fileno())
        self.done += count
        self.seconds += seconds
        told = {"done": self.done, "seconds": self.seconds, "layers": self._layers}
        atomic_write(self.directory / _DONE, json.dumps(told))

    def __getitem__(self, layer: str) -> Tensor:
        """Returns all features of a layer, shape (n, D), read from the disk as they are used."""
        assert self.whole, "features are read once all are there"
        size = self.n * self._layers[layer]
        # Shared, though nobody writes: of a private one the system would want as much memory as it has pages.
        mapped = torch.from_file(str(self._path(layer)), shared=True, size=size, dtype=torch.float32)
        return mapped.view(self.n, -1)

    def remove(self) -> None:
        """Removes it from the disk."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, layer: str) -> Path:
        return self.directory / f"{layer}.float32"

    def _found(self) -> tuple[int, float]:
        """Returns how many are there already, and how long they took; 0 where they are other ones, or anything is
        missing or cut short."""
        try:
            state = json.loads((self.directory / _DONE).read_text())
            done, seconds, layers = state["done"], float(state["seconds"]), state["layers"]
            sizes = {layer: self._path(layer).stat().st_size for layer in self._layers}
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0.0
        there = layers == self._layers and isinstance(done, int) and 0 <= done <= self.n
        long_enough = all(sizes[layer] >= done * dimensions * _BYTES for layer, dimensions in self._layers.items())
        return (done, seconds) if there and long_enough else (0, 0.0)
