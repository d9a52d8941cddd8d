"""A step of a walk, as a person looks at it."""

import torch

from kakusan.samplers import Step


def test_a_step_is_shown_on_one_line_whatever_it_holds():
    x = torch.zeros(4, 3, 32, 32)
    assert repr(Step(7, torch.tensor(1 / 3, dtype=torch.float64), x, x)) == (
        "Step(index=7, t=0.333333, shape=(4, 3, 32, 32))"
    )
