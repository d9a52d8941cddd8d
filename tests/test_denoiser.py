"""A denoiser joins a network, a schedule and a parametrization; it alone scales, casts and tells time."""

import pytest
import torch
from torch import nn

from kakusan import schedules
from kakusan.condition import Condition
from kakusan.denoiser import Bind, Denoiser, modules_in
from kakusan.errors import KakusanError
from kakusan.objective import denoising_loss
from kakusan.parametrization import X0, EDMPreconditioning, Epsilon, Flow, V
from tests.oracles import CHAINS, SCHEDULES, Gaussian, Recorder
from tests.test_parametrization import PAIRS, PARAMETRIZATIONS

HALF = torch.tensor(0.5, dtype=torch.float64)
TIMES = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
X = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def perfect_network(oracle, parametrization, t):
    """Returns a network that knows the data: at time ``t`` its output is what the oracle's prediction asks for."""
    alpha, sigma = (coefficient[..., None] for coefficient in oracle.schedule(t))
    c_in = parametrization.c_in(alpha, sigma)

    def function(x, clock):
        prediction = oracle(x / c_in, t)
        return parametrization.target(prediction.x0, prediction.epsilon, alpha, sigma)

    return Recorder(function)


@pytest.mark.parametrize(("schedule", "name"), PAIRS)
@pytest.mark.parametrize("t", [HALF, TIMES], ids=["one time", "a time an image"])
def test_a_perfect_network_gives_the_exact_image(schedule, name, t):
    oracle = Gaussian(SCHEDULES[schedule])
    network = perfect_network(oracle, PARAMETRIZATIONS[name], t)
    prediction, exact = Denoiser(network, oracle.schedule, PARAMETRIZATIONS[name])(X, t), oracle(X, t)
    torch.testing.assert_close(prediction.x0, exact.x0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(prediction.epsilon, exact.epsilon, rtol=1e-9, atol=1e-9)
    assert prediction.x_t is X


@pytest.mark.parametrize("parametrization", [Epsilon(), X0(), V(), Flow(), EDMPreconditioning()])
def test_a_schedule_can_be_exchanged_under_a_network(parametrization):
    """Where two schedules have the same log-SNR, the same image under the same noise is seen, and x_0 is the same.

    v is tied to schedules that preserve variance, ε to those that leave some signal; the others go anywhere.
    """
    names = {Epsilon(): [*CHAINS, "edm"], V(): CHAINS}.get(parametrization, SCHEDULES)
    network = Recorder(lambda x, clock: torch.sin(3 * x))
    log_snr = torch.tensor([-3.0, 0.5, 4.0], dtype=torch.float64)
    predictions = []
    for schedule in (SCHEDULES[name] for name in names):
        t = schedule.time_at(log_snr)
        alpha, _ = schedule(t)
        predictions.append(Denoiser(network, schedule, parametrization)(alpha[:, None] * X, t))
    for (seen, _), prediction in zip(network.calls, predictions, strict=True):
        torch.testing.assert_close(seen, network.calls[0][0], rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(prediction.x0, predictions[0].x0, rtol=1e-8, atol=1e-8)


def test_a_network_that_predicts_noise_is_not_rounded():
    """(x_t − α·x_0)/σ would lose digits near data."""
    output = torch.randn(3, 2, generator=torch.Generator().manual_seed(1))
    t = torch.tensor(1e-4, dtype=torch.float64)
    assert torch.equal(Denoiser(Recorder(lambda *_: output), CHAINS["linear"], Epsilon())(X.float(), t).epsilon, output)


@pytest.mark.parametrize("t", [HALF, TIMES])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_a_network_is_told_the_clock_of_every_image(schedule, t):
    network = Recorder(lambda x, clock: x)
    Denoiser(network, schedule, X0())(X, t)
    _, clock = network.calls[0]
    assert clock.dtype == torch.float32
    assert torch.equal(clock, schedule.clock(t).float().expand(3))


def test_the_clock_is_exact_at_the_indices_of_a_chain():
    """Scaled and shifted in float64, cast last: in float32 T·t − 1 would be off by 3e-5."""
    network = Recorder(lambda x, clock: x)
    chain, index = schedules.linear(), torch.arange(1000)
    Denoiser(network, chain, X0())(torch.zeros(1000, 1), chain.index_to_time(index))
    assert torch.equal(network.calls[0][1], index.float())


def test_a_network_without_a_condition_is_called_with_two_arguments():
    network = Recorder(lambda x, clock, *condition: x)
    denoiser, condition = Denoiser(network, CHAINS["cosine"], V()), Condition(torch.tensor([1, 0, 2]))
    denoiser(X, HALF)
    denoiser(X, HALF, condition)
    Bind(denoiser)(X, HALF)
    Bind(denoiser, condition)(X, HALF)
    assert [len(call) for call in network.calls] == [2, 3, 2, 3]
    assert network.calls[1][2] is network.calls[3][2] is condition
    assert Bind(denoiser).schedule is CHAINS["cosine"]


class Affine(nn.Module):
    """One weight, so that a network has a dtype."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5, dtype=dtype))
        self.seen = None

    def forward(self, x, clock):
        self.seen = x.dtype, clock.dtype
        return self.weight * x


@pytest.mark.parametrize("network_dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_computes_in_its_own_dtype_and_the_walk_in_its(network_dtype, dtype):
    network = Affine(network_dtype)
    prediction = Denoiser(network, CHAINS["cosine"], V())(X.to(dtype), TIMES)
    assert network.seen == (network_dtype, torch.float32)
    assert prediction.x0.dtype == prediction.epsilon.dtype == prediction.v.dtype == prediction.score.dtype == dtype
    exact = Denoiser(Affine(torch.float64), CHAINS["cosine"], V())(X, TIMES)
    tolerance = 1e-2 if network_dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(prediction.x0.double(), exact.x0, rtol=tolerance, atol=tolerance)


def test_only_the_network_has_a_state():
    """A schedule's tables are no weights: a checkpoint holds what was learned."""
    trained, fresh = (Denoiser(Affine(), CHAINS["cosine"], V()) for _ in range(2))
    nn.init.constant_(trained.network.weight, 3.0)
    assert list(trained.state_dict()) == ["network.weight"]
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh(X, HALF).x0, trained(X, HALF).x0)


@pytest.mark.parametrize(("schedule", "name"), PAIRS)
def test_gradients_reach_the_network_and_the_image(schedule, name):
    """The first for training, the second for guidance."""
    denoiser = Denoiser(Affine(torch.float64), SCHEDULES[schedule], PARAMETRIZATIONS[name])
    x = X.clone().requires_grad_()
    denoiser(x, TIMES).x0.square().sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad != 0).any()
    assert denoiser.network.weight.grad.isfinite()
    assert denoiser.network.weight.grad != 0

    denoiser.zero_grad()
    denoising_loss(denoiser, X, TIMES, X.flip(0)).mean().backward()
    assert denoiser.network.weight.grad != 0


def test_predictions_follow_the_schedule_of_float64_times():
    """A batch in float32 does not drag its times down with it."""
    prediction = Denoiser(Affine(), CHAINS["linear"], V())(X.float(), TIMES)
    for coefficient, exact in zip((prediction.alpha, prediction.sigma), CHAINS["linear"](TIMES), strict=True):
        assert torch.equal(coefficient, exact)


@pytest.mark.parametrize("answer", [lambda x: x[:, 0], lambda x: x[:, :1], lambda x: torch.cat([x, x], 1), torch.numel])
def test_an_answer_of_another_shape_is_refused(answer):
    """Broadcasting would make predictions of another shape of it, and train on."""
    network = Recorder(lambda x, clock: torch.as_tensor(answer(x)).float())
    denoiser = Denoiser(network, schedules.cosine(), V())
    with pytest.raises(KakusanError, match=r"images of shape \(3, 2, 4, 4\) with as many values, not with shape"):
        denoiser(torch.zeros(3, 2, 4, 4), torch.tensor(0.5, dtype=torch.float64))


def test_modules_are_found_in_whatever_wraps_them_by_whatever_name():
    inner, other = nn.Linear(1, 1), nn.Linear(1, 1)

    class Steered:
        schedule = SCHEDULES["linear"]

        def __init__(self, inner, guide):
            self.inner, self.guide = inner, guide

    wrapped = Steered(Steered(inner, None), other)
    assert modules_in(wrapped) == [inner, other]
    assert modules_in(inner) == [inner]
    assert modules_in(lambda x, t: x) == []


def test_the_first_parameter_that_is_a_fraction_says_the_dtype():
    class Quantised(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(3, dtype=torch.int8), requires_grad=False)
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x, clock):
            assert x.dtype == torch.float32
            return self.scale * x

    x = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64)
    t = torch.full((2,), 0.5, dtype=torch.float64)
    assert Denoiser(Quantised(), SCHEDULES["linear"], Epsilon())(x, t).epsilon.abs().min() > 0.1
