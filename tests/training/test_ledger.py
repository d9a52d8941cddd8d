"""The books: sums are carried over lines, epochs and interruptions."""

import math
import time

import pytest
import torch

from kakusan.training.ledger import Ledger


def lines(ledger, losses, step):
    for loss in losses:
        ledger.add(torch.tensor(loss))
    return ledger.lines(ledger.take().tolist(), step)


@pytest.mark.parametrize("cuts", [[6], [1, 5], [2, 2, 2], [3, 1, 1, 1]])
def test_an_epoch_is_the_same_however_its_steps_are_grouped(cuts):
    """Four images an epoch, two a step."""
    ledger, losses, step, epochs = Ledger(2, 4), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 0, []
    for count in cuts:
        step += count
        epochs += [line for line in lines(ledger, losses[step - count : step], step) if "epoch" in line]
    assert epochs == [
        {"step": 2, "images": 4, "epoch": 1, "epoch_loss": 1.5},
        {"step": 4, "images": 8, "epoch": 2, "epoch_loss": 6.0},
        {"step": 6, "images": 12, "epoch": 3, "epoch_loss": 24.0},
    ]
    assert (ledger.epoch_sum, ledger.epoch_steps) == (0.0, 0)


def test_a_batch_larger_than_the_data_ends_epochs_at_every_step():
    ended = [line["epoch"] for line in lines(Ledger(10, 4), [1.0, 1.0], 2) if "epoch" in line]
    assert ended == [2, 5]


def test_a_line_has_the_mean_since_the_last_and_what_else_is_given():
    ledger = Ledger(2, 100)
    ledger.add(torch.tensor(1.0, requires_grad=True))
    ledger.add(torch.tensor(2.0))
    (line,) = ledger.lines(ledger.take().tolist(), 2, lr=0.1)
    assert (line["step"], line["images"], line["loss"], line["lr"]) == (2, 4, 1.5, 0.1)
    assert line["images_per_second"] > 0
    assert len(ledger.take()) == 0


def test_time_spent_waiting_is_a_share_of_the_time_since_the_last_line():
    ledger = Ledger(2, 100)
    ledger.data_seconds = 1e9
    (line,) = lines(ledger, [1.0], 1)
    assert line["data_wait"] > 1e3
    (line,) = lines(ledger, [1.0], 2)
    assert line["data_wait"] == 0


def test_what_was_skipped_counts_in_no_mean():
    """A line or an epoch of nothing else has none, rather than a NaN that JSON has no word for."""
    ledger, nan = Ledger(2, 4), math.nan
    epoch, line = lines(ledger, [1.0, nan], 2)
    assert (epoch["epoch_loss"], line["loss"]) == (1.0, 1.0)
    (line,) = lines(ledger, [nan, nan], 4)
    assert "loss" not in line
    assert line["images_per_second"] > 0


def test_steps_that_are_to_be_taken_again_are_forgotten():
    ledger = Ledger(2, 100)
    ledger.add(torch.tensor(1.0))
    ledger.restart()
    assert len(ledger.take()) == 0


def test_time_in_which_nothing_is_learned_is_not_trainings():
    ledger = Ledger(2, 4)
    time.sleep(0.01)
    with ledger.paused():
        time.sleep(0.5)
    (line,) = [line for line in lines(ledger, [1.0], 1) if "epoch" not in line]
    assert line["images_per_second"] > 2 / 0.5
