"""The task of telling classes apart."""

import pytest
import torch

from kakusan.config.models import EMA, Training
from kakusan.data.batches import Batch, ImageBatches
from kakusan.networks.classifier import Classifier
from kakusan.seeds import Draws
from kakusan.training.engine import Engine
from kakusan.training.tasks.classification import Classification
from tests import tiny


def test_every_image_has_its_loss():
    """Logits that say nothing cost ln K."""
    task = Classification(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)))
    torch.nn.init.zeros_(task.network[1].weight)
    torch.nn.init.zeros_(task.network[1].bias)
    losses = task.losses(Batch(torch.randn(5, 1, 4, 4), torch.arange(5) % 3), Draws(0, 0, 5))
    torch.testing.assert_close(losses, torch.full((5,), 3.0).log())
    assert task.preview(task.network) is None
    held_out = task.held_out(task.network, Batch(torch.randn(5, 1, 4, 4), torch.arange(5) % 3), 0, range(5))
    torch.testing.assert_close(held_out, torch.full((5, 1), 3.0).log())
    assert task.levels() == []


def test_the_engine_teaches_it():
    torch.manual_seed(0)
    data = tiny.pictures(60)
    engine = Engine(
        Classification(Classifier(1, 4, 3, width=8, features=16)),
        ImageBatches(data),
        optimizer=tiny.OPTIMIZER,
        ema=EMA(half_life=100),
        training=Training(steps=80, batch_size=20),
        show=False,
    )
    trained = engine.train().network
    guesses = trained(data.images.float() / 127.5 - 1).argmax(1)
    assert (guesses == data.labels).double().mean().item() == pytest.approx(1, abs=0.05)
