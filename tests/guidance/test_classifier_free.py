"""Classifier-free guidance against a network whose two answers are known."""

import pytest
import torch

from kakusan import grids
from kakusan.condition import Condition
from kakusan.denoiser import Denoiser
from kakusan.errors import KakusanError
from kakusan.guidance import ClassifierFree
from kakusan.parametrization import X0, EDMPreconditioning, Epsilon, Flow, V
from kakusan.samplers import ddim
from tests.oracles import SCHEDULES, Recorder, last, no_noise

CONDITION = Condition(torch.tensor([4, 1, 9]))
X = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
HALF = torch.tensor(0.5, dtype=torch.float64)
TIMES = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)


def guided(scale, schedule="cosine", parametrization=None):
    """A network whose answer names the label and the time it was asked with."""
    network = Recorder(lambda x, clock, condition: x / 2 + (condition.labels * clock.cos())[:, None])
    return ClassifierFree(Denoiser(network, SCHEDULES[schedule], parametrization or V()), CONDITION, scale)


@pytest.mark.parametrize("t", [HALF, TIMES], ids=["one time", "a time an image"])
@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 1.0, 2.0, 7.5])
@pytest.mark.parametrize(
    ("schedule", "parametrization"),
    [("linear", Epsilon()), ("cosine", V()), ("quadratic", X0()), ("flow", Flow()), ("edm", EDMPreconditioning())],
)
def test_the_condition_counts_as_often_as_asked(schedule, parametrization, scale, t):
    """In ε as in x_0; and the two still make up x_t."""
    guide = guided(scale, schedule, parametrization)
    prediction = guide(X, t)
    with_condition, without = guide.denoiser(X, t, CONDITION), guide.denoiser(X, t, CONDITION.null())
    for name in ("x0", "epsilon", "v", "score"):
        conditional, unconditional = getattr(with_condition, name), getattr(without, name)
        expected = unconditional + scale * (conditional - unconditional)
        torch.testing.assert_close(getattr(prediction, name), expected, rtol=1e-9, atol=1e-9)
    alpha, sigma = (coefficient[..., None] for coefficient in SCHEDULES[schedule](t))
    torch.testing.assert_close(alpha * prediction.x0 + sigma * prediction.epsilon, X, rtol=1e-9, atol=1e-9)
    assert prediction.x_t is X


@pytest.mark.parametrize(
    ("scale", "labels"),
    [(0.0, [-1, -1, -1]), (1.0, [4, 1, 9]), (2.0, [-1, -1, -1, 4, 1, 9]), (0.5, [-1, -1, -1, 4, 1, 9])],
)
@pytest.mark.parametrize("t", [HALF, TIMES], ids=["one time", "a time an image"])
def test_one_call_is_made_and_only_for_what_counts(scale, labels, t):
    guide = guided(scale)
    guide(X, t)
    ((x, clock, condition),) = guide.denoiser.network.calls
    assert condition.labels.tolist() == labels
    torch.testing.assert_close(x, X.repeat(len(labels) // 3, 1))
    assert torch.equal(clock, SCHEDULES["cosine"].clock(t).float().expand(3).repeat(len(labels) // 3))


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_guidance_leads_away_from_another_condition_where_one_is_given(scale):
    """As from a negative prompt."""
    guide, other = guided(scale), Condition(torch.tensor([0, 2, 5]))
    away = ClassifierFree(guide.denoiser, CONDITION, scale, unconditional=other)
    here, there = guide.denoiser(X, HALF, CONDITION), guide.denoiser(X, HALF, other)
    torch.testing.assert_close(away(X, HALF).x0, there.x0 + scale * (here.x0 - there.x0), rtol=1e-9, atol=1e-9)
    assert torch.equal(
        ClassifierFree(guide.denoiser, CONDITION, scale, CONDITION.null())(X, HALF).x0, guide(X, HALF).x0
    )


def test_as_many_unconditional_entries_as_conditional_ones():
    with pytest.raises(KakusanError, match=r"3 conditions need 3 unconditional ones beside them, not 1 \(give one"):
        ClassifierFree(guided(2.0).denoiser, CONDITION, 2.0, Condition(torch.tensor([-1])))


def test_a_sampler_walks_under_guidance():
    guide = guided(3.0)
    times = grids.trailing(guide.schedule, 4)
    assert guide.schedule is SCHEDULES["cosine"]
    assert last(ddim(guide, X, times, noise=no_noise)).isfinite().all()
    assert [len(call[0]) for call in guide.denoiser.network.calls] == [6] * 4
