"""What is kept out of training is never learned from, and judged always alike."""

import itertools
import math

import pytest
import torch

from kakusan import schedules
from kakusan.condition import Condition
from kakusan.config.models import Training
from kakusan.data.batches import ImageBatches, LoaderBatches
from kakusan.denoiser import Denoiser
from kakusan.errors import KakusanError
from kakusan.model import Model
from kakusan.objective import TimeSampling, denoising_loss
from kakusan.parametrization import EDMPreconditioning, V
from kakusan.training.precision import Precision
from kakusan.training.processes import Processes
from kakusan.training.tasks.denoising import Denoising
from kakusan.training.validation import hold_out
from tests import tiny
from tests.tiny import assert_same, engine, metrics, run


def learner(net=None):
    net = tiny.network() if net is None else net
    return Denoising(tiny.model(net), TimeSampling(True), 0.5, tiny.SAMPLING)


def measure(validation, task):
    cpu = torch.device("cpu")
    return validation.measure(task, task.network.eval(), Processes(cpu), Precision(Training(), cpu))


def parts(batches, validation):
    return set(batches.among.tolist()), set(validation._indices.tolist())


@pytest.mark.parametrize(("held_out", "count"), [(3, 3), (0.25, 3), (1, 1), (0.01, 1), (11, 11), (6, 6)])
def test_images_are_parted_by_the_seed_with_classes_in_proportion(held_out, count):
    all_of_them = ImageBatches(tiny.pictures(12))
    batches, validation = hold_out(all_of_them, held_out, seed=3, chunk=4)
    learned, kept = parts(batches, validation)
    assert len(kept) == count
    assert learned | kept == set(range(12))
    assert not learned & kept
    classes = torch.bincount(torch.tensor([index % 3 for index in kept]), minlength=3)
    assert classes.max() - classes.min() <= 1
    assert batches.epoch == 12 - count
    assert parts(*hold_out(all_of_them, held_out, seed=3, chunk=1)) == (learned, kept)
    if count == 6:
        assert parts(*hold_out(all_of_them, held_out, seed=4, chunk=4)) != (learned, kept)


def test_without_labels_any_are_kept_out():
    batches, validation = hold_out(ImageBatches(tiny.pictures(12, labelled=False)), 5, seed=0, chunk=4)
    assert [len(part) for part in parts(batches, validation)] == [7, 5]


def test_what_is_kept_out_is_never_learned_from():
    seen, data = set(), tiny.pictures(12)
    data.images[:] = torch.arange(12, dtype=torch.uint8)[:, None, None, None]

    class Watching(Denoising):
        def losses(self, batch, draws):
            seen.update(((batch.images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist())
            return super().losses(batch, draws)

    one = engine(data=data, task=Watching, held_out=0.25)
    one.train()
    assert seen == set(range(12)) - set(one._validation._indices.tolist())
    assert len(seen) == 9


@pytest.mark.parametrize("held_out", [12, 100, 0.999])
def test_somebody_must_be_left_to_learn_from(held_out):
    with pytest.raises(KakusanError, match=r"data\.held_out must be below the 12 images there are, not "):
        hold_out(ImageBatches(tiny.pictures(12)), held_out, seed=0, chunk=4)


def test_a_loader_cannot_be_parted():
    with pytest.raises(KakusanError, match=r"data\.held_out needs images that can be told apart"):
        hold_out(LoaderBatches([torch.zeros(2, 1, 4, 4)]), 1, seed=0, chunk=4)


def test_it_is_the_same_however_many_are_judged_at_a_time_and_whenever():
    task = learner()
    results = [measure(hold_out(ImageBatches(tiny.pictures()), 7, 0, chunk)[1], task) for chunk in (1, 3, 99, 99)]
    assert results[2] == results[3]
    for result in results:
        assert result["held_out_levels"] == pytest.approx(results[0]["held_out_levels"], rel=1e-6)
        assert result["held_out_loss"] == pytest.approx(sum(result["held_out_levels"]) / 8)


@pytest.mark.parametrize(
    ("schedule", "parametrization", "lognormal"),
    [(schedules.cosine(1000), V(), None), (schedules.EDM(), EDMPreconditioning(), (-1.2, 1.2))],
    ids=["uniform", "lognormal"],
)
def test_levels_divide_what_training_visits_into_equal_parts(schedule, parametrization, lognormal):
    model = Model(Denoiser(tiny.network(), schedule, parametrization), (1, 4, 4), tiny.CLASSES)
    times = TimeSampling(False, lognormal)
    edges = Denoising(model, times, 0.0, tiny.SAMPLING).levels()
    assert len(edges) == 9
    assert all(math.isfinite(edge) for edge in edges)
    visited = schedule.log_snr(times(schedule, times.quantiles(8000, torch.Generator().manual_seed(0))))
    for clean, noisy in itertools.pairwise(edges):
        assert ((visited <= clean) & (visited > noisy)).float().mean() == pytest.approx(1 / 8, abs=0.02)


def test_the_mean_over_levels_is_the_expected_loss_of_training():
    """Of many draws of times and noise, on the same images."""
    task, cpu = learner(), torch.device("cpu")
    batches, validation = hold_out(ImageBatches(tiny.pictures(600)), 599, 0, 99)
    batch = batches.at(validation._indices, cpu)
    generator, losses = torch.Generator().manual_seed(1), []
    with torch.no_grad():
        for _ in range(10):
            times = task._times(task._model.denoiser.schedule, task._times.quantiles(599, generator))
            noise = torch.randn(599, 1, 4, 4, generator=generator)
            losses.append(denoising_loss(task._model.denoiser, batch.images, times, noise, Condition(batch.labels)))
    assert measure(validation, task)["held_out_loss"] == pytest.approx(torch.cat(losses).mean().item(), rel=0.04)


def test_the_averaged_weights_are_judged_and_told_at_every_checkpoint_and_between(tmp_path):
    there = run(tmp_path / "run")
    outcome = engine(held_out=4, checkpoint_every=25, validate_every=10, log_every=100).train(there)
    lines = [line for line in there.metrics() if "held_out_loss" in line]
    assert [line["images"] for line in lines] == [10, 20, 25, 30, 40, 50, 60]
    task = learner(outcome.network)
    expected = measure(hold_out(ImageBatches(tiny.pictures()), 4, 0, 3)[1], task)
    assert {name: lines[-1][name] for name in expected} == expected
    told = {checkpoint.images: checkpoint.state()["held_out_loss"] for checkpoint in there.checkpoints()}
    assert told == {line["images"]: line["held_out_loss"] for line in lines if line["images"] in (25, 50, 60)}


def test_judging_changes_nothing_of_what_is_learned_and_resumes(tmp_path):
    whole, often = run(tmp_path / "whole"), run(tmp_path / "often")
    engine(held_out=4).train(whole)
    engine(held_out=4, validate_every=5, steps=6).train(often)
    later = engine(held_out=4, validate_every=5)
    later.resume(often)
    later.train(often)
    a, b = run(tmp_path / "a"), run(tmp_path / "b")
    for there in (a, b):
        engine(held_out=4, validate_every=5).train(there)
    assert_same(whole, a)
    assert metrics(a) == metrics(b)


def test_the_best_checkpoint_is_kept(tmp_path, monkeypatch):
    """Beside the latest ones, until a better one comes; a run without held-out losses keeps the latest alone."""
    there, losses = run(tmp_path / "run"), iter([5.0, 2.0, 4.0, 3.0, 2.5, 1.0])
    one, kept = engine(held_out=4, checkpoint_every=10, keep=2), []
    monkeypatch.setattr(one._validation, "measure", lambda *_: {"held_out_loss": next(losses)})
    save = one._save
    monkeypatch.setattr(
        one, "_save", lambda *given: (save(*given), kept.append([at.images for at in there.checkpoints()]))
    )
    one.train(there)
    assert kept == [[10], [10, 20], [20, 30], [20, 30, 40], [20, 40, 50], [50, 60]]
