"""One loop trains anything, stops anywhere, and goes on as if it had never stopped."""

import math
import os
import signal

import pytest
import torch
from PIL import Image

from kakusan import pictures
from kakusan.config.models import Guard, Training
from kakusan.errors import KakusanError
from kakusan.objective import TimeSampling
from kakusan.tensors import read_tensors
from kakusan.training.optimization import learning_rate
from kakusan.training.tasks.denoising import Denoising
from kakusan.training.timetable import Timetable
from tests import tiny
from tests.tiny import assert_same, engine, metrics, run, with_rate


def interrupted_at(step, number=signal.SIGINT):
    """A task during whose ``step``-th step a person presses Ctrl-C."""

    class Interrupted(Denoising):
        def losses(self, batch, draws):
            if draws.step == step - 1:
                os.kill(os.getpid(), number)
            return super().losses(batch, draws)

    return Interrupted


class CrashError(RuntimeError):
    """What a run cannot prepare for."""


def crashing_at(step):
    class Crashing(Denoising):
        def losses(self, batch, draws):
            if draws.step == step - 1:
                raise CrashError
            return super().losses(batch, draws)

    return Crashing


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Twelve steps at once, five epochs of twelve images."""
    there = run(tmp_path_factory.mktemp("whole") / "run")
    engine().train(there)
    return there


@pytest.mark.parametrize("step", [1, 4, 5, 11])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_resuming_after_an_interruption_equals_going_on(whole, tmp_path, step, number):
    """Weights, average, moments, and every number in the books; an epoch ends at steps 3, 5, 8, 10 and 12."""
    there = run(tmp_path / "run")
    outcome = engine(task=interrupted_at(step, number)).train(there)
    assert outcome.interrupted
    assert outcome.images == there.checkpoint().images == 5 * step

    later = engine(tiny.network(seed=9, dropout=0.3))
    later.resume(there)
    assert later.step == step
    assert not later.train(there).interrupted
    assert_same(whole, there)
    assert metrics(there) == metrics(whole)


def test_resuming_after_a_crash_repeats_what_was_lost_and_nothing_else(whole, tmp_path):
    there = run(tmp_path / "run")
    with pytest.raises(CrashError):
        engine(task=crashing_at(9), checkpoint_every=20).train(there)
    assert there.checkpoint().images == 40
    assert there.metrics()[-1]["step"] == 8
    again = engine(task=crashing_at(12), checkpoint_every=20)
    again.resume(there)
    with pytest.raises(CrashError):  # once more, and further from the last checkpoint
        again.train(there)
    assert there.checkpoint().images == 40
    assert there.metrics()[-1]["step"] == 11
    last = engine()
    last.resume(there)
    last.train(there)
    assert_same(whole, there)
    assert metrics(there) == metrics(whole)


def test_a_longer_run_is_the_short_one_extended(tmp_path):
    """Where the learning rate does not fall towards the end, of which the short one knew another."""
    steady = with_rate(decay="none")
    at_once, extended = run(tmp_path / "a"), run(tmp_path / "b")
    engine(optimizer=steady).train(at_once)
    engine(optimizer=steady, steps=7).train(extended)
    more = engine(optimizer=steady)
    more.resume(extended)
    more.train(extended)
    assert_same(at_once, extended)


def test_how_often_books_are_kept_changes_nothing_of_what_is_learned(whole, tmp_path):
    there = run(tmp_path / "run")
    engine(log_every=5, checkpoint_every=10, samples_every=15).train(there)
    assert_same(whole, there)


def test_every_step_drops_something_else():
    net, kept = tiny.network(dropout=0.5), set()
    net.dropout.register_forward_hook(lambda module, inputs, output: kept.add(tuple((output != 0).flatten().tolist())))
    engine(net, steps=6).train()
    assert len(kept) == 6


def test_another_seed_is_another_run(whole, tmp_path):
    there = run(tmp_path / "run")
    engine(seed=1).train(there)
    with pytest.raises(AssertionError):
        assert_same(whole, there)


def test_the_random_numbers_of_others_are_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    engine(steps=2).train()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_another_engine_may_train_before_the_first_step_and_between_two(tmp_path, dtype):
    """As an evaluation does that trains its judge; and each keeps a precision of its own."""
    other = {"float32": "bfloat16", "bfloat16": "float32"}[dtype]

    class Evaluated(Denoising):
        def losses(self, batch, draws):
            if draws.step == 5:
                engine(steps=2, seed=1, dtype=other).train()
            return super().losses(batch, draws)

    alone, beside = run(tmp_path / "alone"), run(tmp_path / "beside")
    engine(dtype=dtype).train(alone)
    first = engine(dtype=dtype, task=Evaluated)
    engine(steps=2, dtype=other).train()
    first.train(beside)
    assert_same(alone, beside)
    assert metrics(alone) == metrics(beside)


def test_ctrl_c_works_again_afterwards():
    before = signal.getsignal(signal.SIGINT)
    engine(steps=1).train()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_loss_falls(tmp_path):
    there = run(tmp_path / "run")
    engine(data=tiny.pictures(3), steps=200, batch_size=24, optimizer=with_rate(warmup_images=0)).train(there)
    losses = [line["loss"] for line in there.metrics() if "loss" in line]
    assert sum(losses[-20:]) < 0.75 * sum(losses[:20])


def test_the_network_handed_over_is_the_one_that_learns():
    network = tiny.network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    outcome = engine(network, steps=2).train()
    assert all(not torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert outcome.network is not network
    assert not network.training
    assert not outcome.network.training


def test_the_books_say_what_each_step_was(whole):
    steps = [line for line in whole.metrics() if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert all(line["images"] == 5 * line["step"] for line in steps)
    assert all(math.isfinite(line["loss"]) and line["loss"] > 0 for line in steps)
    assert all(line["grad_norm"] > 0 and line["images_per_second"] > 0 for line in steps)
    assert all(0 <= line["data_wait"] <= 1 for line in steps)
    rates = [learning_rate(tiny.OPTIMIZER, line["images"], 65) for line in steps]
    assert [line["lr"] for line in steps] == pytest.approx(rates)
    assert all(line["lr"] > 0 for line in steps)


def test_an_epoch_has_the_mean_loss_of_the_steps_that_end_in_it(whole):
    losses = {line["step"]: line["loss"] for line in whole.metrics() if "loss" in line}
    epochs = [line for line in whole.metrics() if "epoch" in line]
    assert [(line["epoch"], line["step"]) for line in epochs] == [(1, 3), (2, 5), (3, 8), (4, 10), (5, 12)]
    for line, first in zip(epochs, [1, 4, 6, 9, 11], strict=True):
        own = [losses[step] for step in range(first, line["step"] + 1)]
        assert line["epoch_loss"] == pytest.approx(sum(own) / len(own))


def test_a_line_has_the_mean_loss_since_the_one_before(whole, tmp_path):
    there = run(tmp_path / "run")
    engine(log_every=5, checkpoint_every=35).train(there)
    losses = {line["step"]: line["loss"] for line in whole.metrics() if "loss" in line}
    lines = [line for line in there.metrics() if "loss" in line]
    assert [line["step"] for line in lines] == [5, 7, 10, 12]
    for line, first in zip(lines, [1, 6, 8, 11], strict=True):
        own = [losses[step] for step in range(first, line["step"] + 1)]
        assert line["loss"] == pytest.approx(sum(own) / len(own))


@pytest.mark.parametrize(
    ("every", "expected"), [(20, [20, 40, 60]), (25, [25, 50, 60]), (12, [15, 25, 40, 50, 60]), (1000, [60])]
)
def test_checkpoints_and_pictures_come_after_so_many_images(tmp_path, every, expected):
    """At the first step that reaches a multiple, and at the end."""
    there = run(tmp_path / "run")
    engine(checkpoint_every=every, samples_every=every, keep=9).train(there)
    assert [checkpoint.images for checkpoint in there.checkpoints()] == expected
    grids = sorted(there.samples_path.iterdir())
    assert [path.name for path in grids] == [f"{images:07d}.png" for images in expected]
    with Image.open(grids[0]) as grid:
        # A column of four for each class, white lines between, and every pixel of the 4×4 pictures 16 wide.
        assert grid.size == (16 * (3 * 5 - 1), 16 * (4 * 5 - 1))


def test_who_wishes_for_an_end_waits_for_nothing_that_is_not_due(tmp_path):
    """A cluster gives some seconds, and a grid of a thousand steps takes hours."""
    there = run(tmp_path / "run")
    engine(task=interrupted_at(7), samples_every=25, held_out=3, checkpoint_every=1000).train(there)
    assert there.checkpoint().images == 35
    assert [path.name for path in there.samples_path.iterdir()] == ["0000025.png"]
    assert not any("held_out_loss" in line for line in there.metrics())


def assert_same_grids(a, b):
    drawn, expected = ({path.name: path.read_bytes() for path in of.samples_path.iterdir()} for of in (a, b))
    assert drawn == expected


def test_a_grid_that_the_death_of_its_process_prevented_is_drawn_on_resuming(tmp_path):
    there, whole = run(tmp_path / "run"), run(tmp_path / "whole")
    engine(samples_every=25, checkpoint_every=25).train(whole)

    class Killed(Denoising):
        def preview(self, network, progress=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine(task=Killed, samples_every=25, checkpoint_every=25).train(there)
    assert there.checkpoint().images == 25
    again = engine(samples_every=25, checkpoint_every=25)
    again.resume(there)
    again.train(there)
    assert_same_grids(there, whole)
    assert_same(there, whole)


def test_who_wishes_for_an_end_while_a_grid_is_drawn_does_not_wait_for_it_and_has_lost_nothing(tmp_path):
    class Slow(Denoising):
        def preview(self, network, progress=None):
            signal.raise_signal(signal.SIGINT)
            for done in range(10**9):
                progress(done, 10**9)

    there, whole = run(tmp_path / "run"), run(tmp_path / "whole")
    ended = engine(task=Slow, samples_every=25, checkpoint_every=1000).train(there)
    assert ended.interrupted
    assert there.checkpoint().images == 25
    for of in (there, whole):
        again = engine(samples_every=25, checkpoint_every=1000)
        again.resume(of)
        again.train(of)
    assert_same_grids(there, whole)
    assert_same(there, whole)


@pytest.mark.parametrize(
    "error", [KakusanError("the samples became NaN"), torch.OutOfMemoryError("CUDA out of memory.")]
)
def test_a_grid_that_cannot_be_drawn_does_not_stop_training(tmp_path, error):
    class Blind(Denoising):
        def preview(self, network, progress=None):
            raise error

    there = run(tmp_path / "run")
    assert engine(task=Blind, samples_every=30).train(there).images == 60
    assert f"no samples after 30 images: {error}" in (there.path / "log.txt").read_text()


def test_a_held_out_loss_that_is_no_number_is_left_out_and_is_not_the_best(tmp_path):
    class Overflowing(Denoising):
        def held_out(self, network, batch, seed, numbers):
            losses = super().held_out(network, batch, seed, numbers)
            return losses * (math.nan if self.first else 1.0)

        first = True

        def preview(self, network, progress=None):
            type(self).first = False  # the first grid comes after the first held-out loss

    there = run(tmp_path / "run")
    engine(task=Overflowing, held_out=3, checkpoint_every=15, samples_every=15, keep=1).train(there)
    assert [line["images"] for line in there.metrics() if "held_out_loss" in line] == [30, 45, 60]
    assert 15 not in [checkpoint.images for checkpoint in there.checkpoints()]
    assert "no held-out loss after 15 images: it is nan" in (there.path / "log.txt").read_text()


def test_pictures_never_means_never(whole):
    assert not whole.samples_path.exists()


def test_pictures_show_the_average(tmp_path):
    """And not the weights as they are, which a sample is not drawn with."""
    there = run(tmp_path / "run")
    average = engine(samples_every=60).train(there).network
    task = Denoising(tiny.model(average), TimeSampling(), 0.0, tiny.SAMPLING)
    pictures.save(tmp_path / "expected.png", task.preview(average))
    assert (there.samples_path / "0000060.png").read_bytes() == (tmp_path / "expected.png").read_bytes()


def test_pictures_are_drawn_from_the_same_noise(tmp_path):
    """So two grids of one run differ by what was learned in between, and two runs' equal moments agree."""
    a, b = run(tmp_path / "a"), run(tmp_path / "b")
    for there in (a, b):
        engine(samples_every=30).train(there)
    first, second = sorted(a.samples_path.iterdir())
    assert first.read_bytes() != second.read_bytes()
    assert [path.read_bytes() for path in sorted(b.samples_path.iterdir())] == [
        first.read_bytes(),
        second.read_bytes(),
    ]


@pytest.mark.parametrize("keep", [1, 2])
def test_the_latest_checkpoints_are_kept(tmp_path, keep):
    there = run(tmp_path / "run")
    engine(checkpoint_every=10, keep=keep).train(there)
    assert [checkpoint.images for checkpoint in there.checkpoints()] == [50, 60][-keep:]


def test_a_long_gradient_is_clipped(tmp_path):
    """With an ε that outweighs it, the first step of Adam is the gradient itself, times rate and over ε."""
    changes, norms = {}, {}
    for limit in (None, 1e-3):
        there, net = run(tmp_path / str(limit)), tiny.network()
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        optimizer = with_rate(
            learning_rate=1e5, eps=1e6, warmup_images=0, weight_decay=0.0, clip_norm=limit, decay="none"
        )
        engine(net, steps=1, optimizer=optimizer).train(there)
        after = read_tensors(there.checkpoint().weights_path("raw"))
        changes[limit] = math.sqrt(sum((after[name] - before[name]).square().sum().item() for name in before))
        norms[limit] = there.metrics()[0]["grad_norm"]
    assert norms[None] == norms[1e-3] > 1e-2
    assert changes[None] == pytest.approx(norms[None] * 0.1, rel=1e-3)
    assert changes[1e-3] == pytest.approx(1e-3 * 0.1, rel=1e-2)


# The first step that is no number ends it.
STRICT = Guard(patience=1, rollbacks=0)


def spoilt(step, what):
    """A task whose ``step``-th loss, or the gradient of it, is no number."""

    class Spoilt(Denoising):
        def losses(self, batch, draws):
            losses = super().losses(batch, draws)
            if draws.step != step - 1:
                return losses
            if what == "loss":
                return losses * math.inf
            return losses + (losses * 0).sqrt()  # adds nothing, but 0·∞ to the gradient

    return Spoilt


@pytest.mark.parametrize("log_every", [1, 5, 100])
@pytest.mark.parametrize(("step", "good"), [(1, None), (2, None), (6, 20), (8, 20), (9, 40), (12, 40)])
def test_a_loss_that_is_no_number_stops_at_once_and_spoils_no_checkpoint(tmp_path, step, good, log_every):
    """Also at the very step that a checkpoint is due, and far from any line of the books."""
    there = run(tmp_path / "run")
    last = f"the last good checkpoint is .*{good:07d}" if good else "no checkpoint was saved before"
    answer = (
        rf"^the loss became inf at step {step} of 12; {last} \(start another run"
        rf"{', from these weights .*,' if good else ''} with a lower optimizer.learning_rate"
    )
    with pytest.raises(KakusanError, match=answer):
        engine(task=spoilt(step, "loss"), checkpoint_every=20, log_every=log_every, guard=STRICT).train(there)
    assert_finite(there, good)


@pytest.mark.parametrize(("step", "good"), [(4, None), (8, 20), (12, 40)])
def test_a_gradient_that_is_no_number_spoils_no_checkpoint_either(tmp_path, step, good):
    """The loss of that step is still a number, the weights after it no more."""
    there = run(tmp_path / "run")
    with pytest.raises(KakusanError, match=rf"^the gradient became nan at step {step} of 12"):
        engine(task=spoilt(step, "gradient"), checkpoint_every=20, log_every=100, guard=STRICT).train(there)
    assert_finite(there, good)


def test_without_a_run_it_stops_as_well():
    with pytest.raises(KakusanError, match="at step 3 of 12; no checkpoint was saved before"):
        engine(task=spoilt(3, "loss"), log_every=2, guard=STRICT).train()


def assert_finite(there, good):
    assert [checkpoint.images for checkpoint in there.checkpoints()] == (
        [] if good is None else [*range(20, good + 1, 20)]
    )
    for file in there.path.glob("checkpoints/*/*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in read_tensors(file).values())
    assert all(math.isfinite(line["loss"]) for line in there.metrics() if "loss" in line)


def test_mixed_precision_learns_too_and_leaves_the_network_as_it_was(tmp_path):
    net, there = tiny.network(), run(tmp_path / "run")
    forward = net.forward
    engine(net, dtype="bfloat16").train(there)
    assert net.forward == forward
    assert {tensor.dtype for tensor in net.state_dict().values()} == {torch.float32}
    assert net(torch.zeros(1, 1, 4, 4), torch.zeros(1)).dtype == torch.float32
    full = run(tmp_path / "full")
    engine(tiny.network()).train(full)
    rough, exact = there.metrics()[0]["loss"], full.metrics()[0]["loss"]
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.05)


def test_a_failure_leaves_the_network_as_it_was():
    net = tiny.network()
    forward = net.forward
    with pytest.raises(CrashError):
        engine(net, dtype="bfloat16", task=crashing_at(2)).train()
    assert net.forward == forward


@pytest.mark.parametrize(
    ("given", "steps"),
    [({"steps": 7}, 7), ({"images": 50}, 10), ({"images": 51}, 11), ({"epochs": 2}, 5), ({"epochs": 5}, 12)],
)
def test_how_long_counted_in_steps_images_or_epochs(given, steps):
    """Never fewer images than asked for."""
    training = engine(**{"steps": None, **given})
    assert training.total_steps == steps
    assert training.total_images == 5 * steps


def test_length_needs_no_engine():
    assert Timetable.of(Training(epochs=3, batch_size=128), 1797).steps == 43


def test_resuming_what_was_never_saved_begins_anew(whole, tmp_path):
    """What it had written in its books before it was killed is cut."""
    there = run(tmp_path / "run")
    with pytest.raises(CrashError):
        engine(task=crashing_at(4)).train(there)
    assert len(there.metrics()) > 1
    again = engine()
    again.resume(there)
    again.train(there)
    assert_same(whole, there)
    assert metrics(there) == metrics(whole)
