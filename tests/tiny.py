"""Trainings so small that a law is checked in a fraction of a second."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from kakusan import schedules
from kakusan.condition import Condition
from kakusan.config import models as config
from kakusan.data.batches import Batches, ImageBatches
from kakusan.data.images import ImageSet
from kakusan.denoiser import Denoiser
from kakusan.model import Model
from kakusan.objective import TimeSampling
from kakusan.parametrization import V
from kakusan.runs import Run
from kakusan.tensors import read_tensors
from kakusan.training.engine import Engine
from kakusan.training.examination import Examination
from kakusan.training.tasks.denoising import Denoising
from kakusan.training.validation import hold_out

CLASSES = ("cat", "dog", "owl")
OPTIMIZER = config.Optimizer(learning_rate=1e-2, warmup_images=20)
SAMPLING = config.Sampling(steps=2)


class TinyNetwork(nn.Module):
    """Two convolutions that see all there is to see: image, clock, and class where there are any."""

    def __init__(self, channels: int = 1, classes: int = 0, width: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        self.input = nn.Conv2d(channels, width, 3, padding=1)
        self.clock = nn.Linear(1, width)
        self.labels = nn.Embedding(classes + 1, width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: Tensor, clock: Tensor, condition: Condition | None = None) -> Tensor:
        labels = torch.full_like(clock, -1, dtype=torch.long) if condition is None else condition.labels
        about = self.clock(clock[:, None] / 1000) + self.labels(labels % self.labels.num_embeddings)
        h = nn.functional.silu(self.input(x) + about[:, :, None, None])
        return self.output(self.dropout(h))


class PlainNetwork(nn.Module):
    """A network of a reader's own that knows no classes: ``network(x, clock)``."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.inner = TinyNetwork(channels)

    def forward(self, x: Tensor, clock: Tensor) -> Tensor:
        return self.inner(x, clock)


def pictures(count: int = 12, shape: tuple[int, int, int] = (1, 4, 4), *, labelled: bool = True) -> ImageSet:
    """Returns random pictures; those of a class are a little brighter than those of the class before."""
    labels = torch.arange(count) % len(CLASSES)
    noise = torch.randint(0, 100, (count, *shape), generator=torch.Generator().manual_seed(0))
    images = (noise + 70 * labels[:, None, None, None]).to(torch.uint8)
    return ImageSet(images, labels, CLASSES, "pets") if labelled else ImageSet(images, name="pets")


def network(classes: int = len(CLASSES), *, channels: int = 1, dropout: float = 0.0, seed: int = 0) -> TinyNetwork:
    """Returns a network whose weights follow from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TinyNetwork(channels, classes, dropout=dropout)


def model(net: nn.Module | None = None, *, shape: tuple[int, int, int] = (1, 4, 4), classes=CLASSES) -> Model:
    """Returns a model that has learned nothing."""
    net = network(len(classes), channels=shape[0]) if net is None else net
    return Model(Denoiser(net, schedules.cosine(20), V()), shape, classes, sampling=SAMPLING)


def engine(
    net: nn.Module | None = None,
    *,
    optimizer: config.Optimizer = OPTIMIZER,
    ema: config.EMA | None = None,
    guard: config.Guard | None = None,
    data: ImageSet | None = None,
    task: type[Denoising] = Denoising,
    condition_dropout: float = 0.3,
    held_out: float = 0,
    batches: Batches | None = None,
    examination: Examination | None = None,
    **training: object,
) -> Engine:
    """Returns an engine that takes 12 steps of 5 images, unless told otherwise, and draws on all there is to draw."""
    settings = config.Training(**{"steps": 12, "batch_size": 5, "log_every": 1, "samples_every": 0, **training})
    learned, validation = hold_out(ImageBatches(pictures() if data is None else data, flip=True), held_out, 0, chunk=3)
    return Engine(
        task(model(network(dropout=0.3) if net is None else net), TimeSampling(True), condition_dropout, SAMPLING),
        learned if batches is None else batches,
        optimizer=optimizer,
        ema=ema or config.EMA(half_life=20),
        training=settings,
        guard=guard,
        validation=validation,
        examination=examination,
        show=False,
    )


def run(path: Path) -> Run:
    """Returns a new run."""
    return Run.create(path)


def metrics(of: Run) -> list[dict]:
    """Returns the lines of a run without what depends on the clock on the wall."""
    timed = {"images_per_second", "data_wait"}
    return [{name: value for name, value in line.items() if name not in timed} for line in of.metrics()]


def everything(of: Run) -> tuple[dict[str, Tensor], dict]:
    """Returns all tensors and the state of a run's last checkpoint."""
    path = of.checkpoint().path
    tensors = {
        f"{file.stem} {name}": t for file in path.glob("*.safetensors") for name, t in read_tensors(file).items()
    }
    return tensors, json.loads((path / "state.json").read_text())


def assert_same(a: Run, b: Run) -> None:
    """Holds that two runs ended in the same place, bit for bit."""
    (tensors, state), (others, other_state) = everything(a), everything(b)
    assert tensors.keys() == others.keys()
    different = [name for name in tensors if not torch.equal(tensors[name], others[name])]
    assert not different
    assert state == other_state


def with_rate(**settings: object) -> config.Optimizer:
    """Returns the optimizer with other settings."""
    return OPTIMIZER.model_copy(update=settings)
