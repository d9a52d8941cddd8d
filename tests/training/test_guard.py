"""A step that is no number changes nothing; many in a row go back to what was good, with a lower learning rate."""

import math

import pytest
import torch
from torch import nn

from kakusan.config.models import Guard as Settings
from kakusan.errors import KakusanError
from kakusan.tensors import read_tensors
from kakusan.training.guard import Guard
from kakusan.training.tasks.denoising import Denoising
from tests import tiny
from tests.tiny import assert_same, engine, metrics, run, with_rate


def spoilt(*steps, what="loss", while_=lambda: True):
    """A task whose loss at these steps, or the gradient of it, is no number, while something holds."""

    class Spoilt(Denoising):
        def losses(self, batch, draws):
            losses = super().losses(batch, draws)
            if draws.step + 1 not in steps or not while_():
                return losses
            return losses * math.nan if what == "loss" else losses + (losses * 0).sqrt()

    return Spoilt


def weights(there, images):
    path = there.checkpoint(images).path
    return {f"{file.stem} {name}": t for file in path.glob("*.safetensors") for name, t in read_tensors(file).items()}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("bad", [1, 4])
def test_a_bad_step_changes_nothing_and_is_counted(tmp_path, fused, what, bad):
    """Neither weights nor average nor moments nor what Adam counts; and training goes on."""
    there = run(tmp_path / "run")
    optimizer = with_rate(fused=fused)
    engine(task=spoilt(bad, what=what), optimizer=optimizer, checkpoint_every=5, keep=99, steps=6).train(there)
    after = weights(there, 5 * bad)
    if bad > 1:
        before = weights(there, 5 * bad - 5)
        assert all(torch.equal(before[name], after[name]) for name in before | after)
    else:
        assert all(not tensor.any() for name, tensor in after.items() if name.startswith("optimizer"))
    later = weights(there, 30)
    assert any(not torch.equal(later[name], after[name]) for name in after)
    lines = {line["step"]: line for line in there.metrics() if "lr" in line}
    assert "loss" not in lines[bad]
    assert [lines[step].get("skipped", 0) for step in range(1, 7)] == [int(step >= bad) for step in range(1, 7)]


def test_statistics_that_a_bad_batch_spoilt_are_as_before(tmp_path):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.norm = tiny.TinyNetwork(), nn.BatchNorm2d(1)

        def forward(self, x, clock, condition=None):
            return self.norm(self.inner(x, clock))

    class Dark(Denoising):
        def losses(self, batch, draws):
            if draws.step == 2:
                batch.images.fill_(math.nan)
            return super().losses(batch, draws)

    net = Normed()
    average = engine(net, task=Dark).train().network
    assert all(tensor.isfinite().all() for of in (net, average) for tensor in of.state_dict().values())
    assert net.norm.num_batches_tracked == 11


def test_a_checkpoint_saved_while_steps_fail_does_not_cost_the_one_to_go_back_to(tmp_path):
    """One is kept, and one is saved in the middle of what fails."""
    there, seen = run(tmp_path / "run"), set()

    class Spoilt(Denoising):
        def losses(self, batch, draws):
            bad = 6 <= draws.step + 1 <= 9 and draws.step not in seen
            seen.update({draws.step} if bad else ())
            return super().losses(batch, draws) * (math.nan if bad else 1.0)

    engine(task=Spoilt, guard=Settings(patience=3), checkpoint_every=10, keep=1).train(there)
    assert there.checkpoint().state()["guard"]["rollbacks"] == 1
    assert [checkpoint.images for checkpoint in there.checkpoints()] == [60]


@pytest.mark.parametrize("stop", [3, 6, 8])
def test_what_was_skipped_is_exact_on_resuming(tmp_path, stop):
    """Also where the run stops between two bad steps."""
    bad = spoilt(3, 4, 8)
    whole, parts = run(tmp_path / "whole"), run(tmp_path / "parts")
    engine(task=bad, optimizer=with_rate(decay="none")).train(whole)
    engine(task=bad, optimizer=with_rate(decay="none"), steps=stop).train(parts)
    later = engine(task=bad, optimizer=with_rate(decay="none"))
    later.resume(parts)
    later.train(parts)
    assert_same(whole, parts)
    assert metrics(whole) == metrics(parts)
    assert whole.checkpoint().state()["guard"] == {"skipped": 3, "streak": 0, "rollbacks": 0}


GUARD = Settings(patience=3, rollbacks=2, lower=0.25)


def troubled(there, **given):
    """Trains with a stretch of four bad steps, 7 to 10, that a lower learning rate avoids."""
    made = []
    task = spoilt(7, 8, 9, 10, while_=lambda: made[0]._guard.rollbacks == 0)
    made.append(engine(task=task, guard=GUARD, checkpoint_every=10, keep=99, **given))
    return made[0]


def test_many_in_a_row_go_back_to_the_last_good_checkpoint_at_a_lower_rate(tmp_path):
    """The checkpoint at step 6 is not known to be good, for no good step was ever taken from it."""
    there, plain = run(tmp_path / "run"), run(tmp_path / "plain")
    outcome = troubled(there).train(there)
    engine(checkpoint_every=10, keep=99).train(plain)
    assert outcome.images == 60
    state = there.checkpoint().state()["guard"]
    assert state == {"skipped": 3, "streak": 0, "rollbacks": 1}
    (told,) = [line for line in (there.path / "log.txt").read_text().splitlines() if "back to" in line]
    assert "the loss became nan and 3 steps were skipped from step 7 on: back to 20 images, at 0.25 times" in told
    lines, plainly = ({line["step"]: line for line in of.metrics() if "lr" in line} for of in (there, plain))
    assert list(lines) == list(range(1, 13))
    for step, line in lines.items():
        assert line["lr"] == pytest.approx(plainly[step]["lr"] * (1 if step <= 4 else 0.25))
    assert [checkpoint.images for checkpoint in there.checkpoints()] == [10, 20, 30, 40, 50, 60]


def test_where_one_checkpoint_is_kept_it_is_the_one_to_go_back_to(tmp_path):
    """Though no good step was taken from it: its successor would else be the end of training."""
    there, made = run(tmp_path / "run"), []
    task = spoilt(7, 8, 9, 10, while_=lambda: made[0]._guard.rollbacks == 0)
    made.append(engine(task=task, guard=GUARD, checkpoint_every=10, keep=1))
    made[0].train(there)
    assert there.checkpoint().state()["guard"]["rollbacks"] == 1
    assert "back to 30 images" in (there.path / "log.txt").read_text()


def test_going_back_does_not_depend_on_how_often_books_are_kept(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b")
    troubled(a).train(a)
    troubled(b, log_every=100).train(b)
    assert_same(a, b)


def test_killed_after_going_back_it_goes_on_at_the_lower_rate(tmp_path):
    """The checkpoint that it went back to says so from that moment on."""
    whole, killed = run(tmp_path / "whole"), run(tmp_path / "killed")
    troubled(whole).train(whole)

    class StopError(Exception):
        pass

    first = troubled(killed)
    losses = first._task.losses

    def stopping(batch, draws):
        if draws.step == 4 and first._guard.rollbacks:
            raise StopError
        return losses(batch, draws)

    first._task.losses = stopping
    with pytest.raises(StopError):
        first.train(killed)
    assert killed.checkpoint().images == 20
    later = troubled(killed)
    later.resume(killed)
    later.train(killed)
    assert_same(whole, killed)
    assert metrics(whole) == metrics(killed)


def test_what_stays_bad_stops_in_the_end(tmp_path):
    there = run(tmp_path / "run")
    task = spoilt(*range(7, 13))
    answer = r"^the loss became nan at step 7 of 12 after going back 2 times; the last good checkpoint is .*0000030 \("
    with pytest.raises(KakusanError, match=answer):
        engine(task=task, guard=GUARD, checkpoint_every=10, keep=99).train(there)
    assert [checkpoint.images for checkpoint in there.checkpoints()] == [10, 20, 30, 40]


def test_few_steps_that_are_all_bad_do_not_pass_for_trained():
    with pytest.raises(KakusanError, match=r"^the loss became nan at step 1 of 2; no checkpoint was saved before"):
        engine(task=spoilt(1, 2), steps=2).train()


def test_a_bad_last_step_is_no_trouble():
    assert engine(task=spoilt(12)).train().images == 60


def test_it_counts_without_being_asked():
    guard, one, nan = Guard(Settings(patience=2), torch.device("cpu")), torch.tensor(1.0), torch.tensor(math.nan)
    for loss, norm in ((one, nan), (nan, one), (one, one), (torch.tensor(math.inf), one)):
        guard.judge(loss, norm)
    assert (guard.skipped, guard.streak) == (3, 1)
    assert guard.trouble() == "the loss became inf"
    guard.judge(one, torch.tensor(math.inf))
    assert guard.trouble() == "the gradient became inf"
    assert not guard.troubled(5, 100, last=False)  # asked at every second step only
    assert guard.troubled(6, 100, last=False)
