"""The task of learning to see an image through the noise."""

import pytest
import torch

from kakusan.config.models import Sampling
from kakusan.data.batches import Batch
from kakusan.errors import KakusanError
from kakusan.networks import SimpleUNet, UNet
from kakusan.objective import TimeSampling
from kakusan.seeds import Draws
from kakusan.training.tasks.denoising import Denoising
from tests import tiny
from tests.networks.randomised import randomised
from tests.oracles import Recorder


def batch(count=6, size=8):
    images = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(images, torch.arange(count) % 3)


def task(network, *, classes=tiny.CLASSES, size=8, dropout=0.0, settings=tiny.SAMPLING):
    return Denoising(tiny.model(network, shape=(1, size, size), classes=classes), TimeSampling(True), dropout, settings)


@pytest.mark.parametrize(
    ("network", "classes"),
    [
        (UNet(1, channels=(8, 16), attention_levels=(1,), classes=3), tiny.CLASSES),
        (UNet(1, channels=(8, 16), attention_levels=(1,), scale_shift=True), ()),
        (SimpleUNet(1, 1, 16, 16), ()),
    ],
)
def test_a_gradient_reaches_every_parameter(network, classes):
    """The null class included, as some conditions are dropped."""
    learner = task(randomised(network), classes=classes, dropout=0.5)
    learner.losses(batch(12), Draws(0, 0, 12)).mean().backward()
    missing = {name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-9}
    # Attention weighs differences between keys, which one bias for all of them does not change.
    assert not {name for name in missing if not name.endswith("key.bias")}


def test_one_batch_is_overfitted():
    """The same draws again and again: what can be learned by heart is."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(1, channels=(16, 32), blocks=1, classes=3)
    learner = task(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(150):
        loss = learner.losses(batch(), Draws(0, 0, 6)).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.03 * losses[0]


def seen(dropout, classes=tiny.CLASSES, count=2000):
    network = Recorder(lambda x, clock, *condition: x)
    task(network, classes=classes, dropout=dropout, size=1).losses(batch(count, size=1), Draws(3, 4, count))
    return network.calls[-1]


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_a_share_of_the_conditions_is_hidden_and_the_others_are_the_labels(share):
    _, _, condition = seen(share)
    hidden = condition.labels == -1
    assert hidden.double().mean().item() == pytest.approx(share, abs=0.03)
    assert torch.equal(condition.labels[~hidden], (torch.arange(2000) % 3)[~hidden])


def test_what_is_hidden_does_not_depend_on_the_time(monkeypatch):
    """Every draw has a stream of its own; where two share one, which numbers they share is torch's affair."""
    streams = []

    def generator(draws, stream, real=Draws.generator):
        streams.append(stream)
        return real(draws, stream)

    monkeypatch.setattr(Draws, "generator", generator)
    _, clock, condition = seen(0.5)
    assert len(set(streams)) == len(streams) == 3
    assert clock[condition.labels == -1].mean().item() == pytest.approx(clock.mean().item(), abs=0.5)


def test_a_model_without_classes_is_shown_none():
    assert len(seen(0.1, classes=())) == 2


def test_a_process_computes_its_share_of_the_very_same_step():
    """Noise, times and hidden conditions are drawn for all and divided."""
    learner = task(randomised(UNet(1, channels=(8,), classes=3)), dropout=0.5)
    data = batch(12)
    whole = learner.losses(data, Draws(0, 7, 12))
    for share in (slice(0, 4), slice(4, 12)):
        part = learner.losses(Batch(data.images[share], data.labels[share]), Draws(0, 7, 12, share))
        torch.testing.assert_close(part, whole[share], rtol=1e-5, atol=1e-6)


def test_every_step_draws_anew():
    learner = task(randomised(UNet(1, channels=(8,), classes=3)))
    losses = [learner.losses(batch(), Draws(0, step, 6)).mean().item() for step in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.parametrize(
    ("classes", "rows", "columns"),
    [((), 4, 4), (("a", "b"), 4, 2), (tuple("abcdefghij"), 4, 10), (tuple(map(str, range(100))), 8, 8)],
)
def test_a_preview_has_a_column_a_class_unless_they_are_many(classes, rows, columns):
    network = tiny.network(len(classes))
    _, height, width = task(network, classes=classes, size=4).preview(network).shape
    enlarged = height // (5 * rows - 1)
    assert (height, width) == (enlarged * (5 * rows - 1), enlarged * (5 * columns - 1))
    assert enlarged >= 8, "so that people see something"


def test_a_preview_is_of_the_network_it_is_given():
    learner = task(tiny.network(seed=0))
    assert torch.equal(learner.preview(tiny.network(seed=1)), task(tiny.network(seed=1)).preview(tiny.network(seed=1)))
    assert not torch.equal(learner.preview(tiny.network(seed=1)), learner.preview(learner.network))


def test_what_is_no_picture_has_no_preview():
    network = tiny.network(channels=4)
    learner = Denoising(tiny.model(network, shape=(4, 4, 4)), TimeSampling(), 0.0, tiny.SAMPLING)
    assert learner.preview(network) is None


@pytest.mark.parametrize(
    ("settings", "classes", "answer"),
    [
        (Sampling(steps=21), tiny.CLASSES, "steps must be between 1 and 20 for this chain, not 21"),
        (Sampling(guidance=2.0), (), "guidance 2 needs a condition"),
    ],
)
def test_pictures_that_cannot_be_drawn_are_refused_before_training(settings, classes, answer):
    with pytest.raises(KakusanError, match=answer):
        task(tiny.network(), classes=classes, settings=settings)
