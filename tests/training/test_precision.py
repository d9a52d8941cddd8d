"""Mixed precision learns too, keeps its scale, and touches nothing that is not its own."""

import pytest
import torch
from torch import nn

from kakusan.config.models import Training
from kakusan.training.precision import Precision
from kakusan.training.tasks.denoising import Denoising
from tests import tiny
from tests.tiny import assert_same, engine, metrics, run, with_rate


@pytest.mark.parametrize("settings", [{"dtype": "float16"}, {"dtype": "bfloat16"}, {"channels_last": True}])
def test_resuming_equals_going_on_in_any_numbers(tmp_path, settings):
    """The scale of float16 and the layout of the moments come back too; colour pictures have channels to lay out."""

    def another(**more):
        net = tiny.network(3, channels=3, dropout=0.3)
        data = tiny.pictures(shape=(3, 4, 4))
        return engine(net, data=data, task=Colour, optimizer=with_rate(decay="none"), **settings, **more)

    class Colour(Denoising):
        def __init__(self, model, *rest):
            super().__init__(tiny.model(model.denoiser.network, shape=(3, 4, 4)), *rest)

    whole, parts = run(tmp_path / "whole"), run(tmp_path / "parts")
    another().train(whole)
    another(steps=5).train(parts)
    later = another()
    later.resume(parts)
    later.train(parts)
    assert_same(whole, parts)
    assert metrics(whole) == metrics(parts)


def test_channels_last_changes_rounding_only(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b")
    engine(tiny.network()).train(a)  # without dropout, which is drawn in the order of memory
    engine(tiny.network(), channels_last=True).train(b)
    for mine, other in zip(metrics(a), metrics(b), strict=True):
        assert mine == pytest.approx(other, rel=1e-3)


def test_a_gradient_that_overflows_float16_is_skipped_and_halves_the_scale(tmp_path):
    """65,536 times such a loss is beyond float16; the network is not."""

    class Large(Denoising):
        def losses(self, batch, draws):
            return super().losses(batch, draws) * 1e3

    there = run(tmp_path / "run")
    engine(task=Large, dtype="float16").train(there)
    state = there.checkpoint().state()
    skipped = state["guard"]["skipped"]
    assert 0 < skipped < 12
    assert state["scale"]["scale"] == 2.0 ** (16 - skipped)
    assert state["guard"]["rollbacks"] == 0


def test_a_scaled_gradient_is_clipped_at_its_own_size():
    precision = Precision(Training(dtype="float16"), torch.device("cpu"))
    weight = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.AdamW(weight.parameters(), fused=True)
    precision.backward(3 * weight.weight.sum())
    assert precision.clip(optimizer, limit=2.0) == pytest.approx(3)
    assert weight.weight.grad.item() == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize("tf32", [True, False])
def test_how_matrices_are_multiplied_is_put_back(tf32):
    before, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with Precision(Training(tf32=tf32), torch.device("cuda")).matrices():
        assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
        assert torch.backends.cudnn.allow_tf32 is tf32
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == (before, convolutions)
    with Precision(Training(tf32=True), torch.device("cpu")).matrices():
        assert torch.get_float32_matmul_precision() == before
