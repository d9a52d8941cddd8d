"""A parametrization reads x_0 off a network's output; what the output should have been gives it back."""

import pytest
import torch

from kakusan import schedules
from kakusan.denoiser import Denoiser, Prediction, expand
from kakusan.errors import KakusanError
from kakusan.parametrization import X0, EDMPreconditioning, Epsilon, Flow, V
from tests.oracles import SCHEDULES, Recorder

PARAMETRIZATIONS = {"epsilon": Epsilon(), "x0": X0(), "v": V(), "flow": Flow(), "edm": EDMPreconditioning()}
REFUSED = {("flow", "epsilon"), ("edm", "v")}
PAIRS = [(schedule, name) for schedule in SCHEDULES for name in PARAMETRIZATIONS if (schedule, name) not in REFUSED]

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
every_pair = pytest.mark.parametrize(("schedule", "name"), PAIRS)

TIMES = torch.linspace(0.2, 0.95, 7, dtype=torch.float64)
X_0, EPSILON = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def noisy(schedule):
    """Returns α and σ, shape (7, 1), and x_t made of X_0 and EPSILON."""
    alpha, sigma = (coefficient[:, None] for coefficient in schedule(TIMES))
    return alpha, sigma, alpha * X_0 + sigma * EPSILON


@every_pair
def test_the_target_gives_the_clean_image_and_the_noise_back(schedule, name):
    parametrization = PARAMETRIZATIONS[name]
    alpha, sigma, x_t = noisy(SCHEDULES[schedule])
    target = parametrization.target(X_0, EPSILON, alpha, sigma)
    x0, epsilon = parametrization.recover(x_t, target, alpha, sigma)
    torch.testing.assert_close(x0, X_0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(epsilon, EPSILON, rtol=1e-9, atol=1e-9)


@every_pair
def test_any_output_stands_for_an_image_and_a_noise_that_make_up_what_was_seen(schedule, name):
    """A wrong one as well; and it is the target of just these two: nothing of the network is thrown away."""
    parametrization = PARAMETRIZATIONS[name]
    alpha, sigma, x_t = noisy(SCHEDULES[schedule])
    output = X_0.flip(0) - EPSILON**2
    x0, epsilon = parametrization.recover(x_t, output, alpha, sigma)
    torch.testing.assert_close(alpha * x0 + sigma * epsilon, x_t, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(parametrization.target(x0, epsilon, alpha, sigma), output, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["epsilon", "v", "flow", "edm"])
def test_noise_is_as_exact_near_data_as_the_output(name):
    """In float32, where (x_t − α·x_0)/σ would lose four digits. A network that knows only x_0 can do no better."""
    alpha, sigma = torch.tensor(1.0), torch.tensor(1e-4)
    x0, epsilon = X_0.float(), EPSILON.float()
    output = PARAMETRIZATIONS[name].target(x0, epsilon, alpha, sigma)
    _, recovered = PARAMETRIZATIONS[name].recover(alpha * x0 + sigma * epsilon, output, alpha, sigma)
    torch.testing.assert_close(recovered, epsilon, rtol=0, atol=2e-6)


@every_schedule
@pytest.mark.parametrize("name", ["epsilon", "x0", "v"])
def test_white_data_reach_the_network_with_unit_variance(schedule, name):
    alpha, sigma = schedule(TIMES)
    c_in = PARAMETRIZATIONS[name].c_in(alpha, sigma)
    torch.testing.assert_close(c_in**2 * (alpha**2 + sigma**2), torch.ones_like(TIMES))


@every_schedule
@pytest.mark.parametrize("sigma_data", [0.5, 2.0])
def test_edm_gives_input_and_target_unit_variance(schedule, sigma_data):
    """Whatever the deviation of the data; a linear form a·x_0 + b·ε has the variance a²σ_d² + b²."""
    alpha, sigma = schedule(TIMES)
    parametrization = EDMPreconditioning(sigma_data)
    c_in = parametrization.c_in(alpha, sigma)
    one, nought = torch.ones_like(TIMES), torch.zeros_like(TIMES)
    for x0, epsilon in [
        (c_in * alpha, c_in * sigma),
        (parametrization.target(one, nought, alpha, sigma), parametrization.target(nought, one, alpha, sigma)),
    ]:
        torch.testing.assert_close(x0**2 * sigma_data**2 + epsilon**2, one)


@pytest.mark.parametrize("sigma_data", [0.5, 1.3])
def test_edm_is_table_one_of_its_paper(sigma_data):
    alpha, sigma = schedules.EDM()(TIMES)
    total = sigma**2 + sigma_data**2
    one, nought, edm = torch.ones_like(TIMES), torch.zeros_like(TIMES), EDMPreconditioning(sigma_data)
    c_skip, c_out = edm.recover(one, nought, alpha, sigma)[0], edm.recover(nought, one, alpha, sigma)[0]
    torch.testing.assert_close(edm.c_in(alpha, sigma), 1 / total.sqrt())
    torch.testing.assert_close(c_skip, sigma_data**2 / total)
    torch.testing.assert_close(c_out, sigma * sigma_data / total.sqrt())
    assert EDMPreconditioning() == EDMPreconditioning(0.5)


@pytest.mark.parametrize("name", ["epsilon", "x0", "v"])
def test_a_chain_needs_no_scaling(name):
    c_in = PARAMETRIZATIONS[name].c_in(*schedules.linear()(TIMES))
    torch.testing.assert_close(c_in, torch.ones_like(TIMES))


def test_flow_walks_back_along_its_own_path():
    """To where the velocity came from, and on to where it leads."""
    alpha, sigma, x_t = noisy(schedules.RectifiedFlow())
    torch.testing.assert_close(Flow().c_in(alpha, sigma), torch.ones_like(alpha))
    x0, epsilon = Flow().recover(x_t, EPSILON, alpha, sigma)
    torch.testing.assert_close(x0, x_t - sigma * EPSILON)
    torch.testing.assert_close(epsilon, x_t + (1 - sigma) * EPSILON)


@every_schedule
@pytest.mark.parametrize("name", ["epsilon", "x0", "flow", "edm"])
def test_only_the_ratio_of_signal_to_noise_matters(schedule, name):
    """Scaling α, σ and x_t together changes neither what the network sees, nor its target, nor x_0 and ε."""
    parametrization = PARAMETRIZATIONS[name]
    alpha, sigma, x_t = noisy(schedule)
    torch.testing.assert_close(
        parametrization.c_in(alpha, sigma) * x_t, parametrization.c_in(3 * alpha, 3 * sigma) * 3 * x_t
    )
    torch.testing.assert_close(
        parametrization.recover(x_t, EPSILON**2, alpha, sigma),
        parametrization.recover(3 * x_t, EPSILON**2, 3 * alpha, 3 * sigma),
    )
    torch.testing.assert_close(
        parametrization.target(X_0, EPSILON, alpha, sigma), parametrization.target(X_0, EPSILON, 3 * alpha, 3 * sigma)
    )


@every_schedule
def test_a_prediction_speaks_of_epsilon_v_and_the_score_alike(schedule):
    """From x_0 to ε and back, to v and back, to the score and back."""
    alpha, sigma, x_t = noisy(schedule)
    prediction = Prediction.from_x0(x_t, X_0, *schedule(TIMES))
    torch.testing.assert_close(prediction.epsilon, EPSILON, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(prediction.score, -EPSILON / sigma, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(prediction.v, alpha * EPSILON - sigma * X_0, rtol=1e-9, atol=1e-9)

    total = alpha**2 + sigma**2
    torch.testing.assert_close((alpha * x_t - sigma * prediction.v) / total, X_0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close((sigma * x_t + alpha * prediction.v) / total, EPSILON, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close((x_t + sigma**2 * prediction.score) / alpha, X_0, rtol=1e-9, atol=1e-9)


@every_schedule
def test_other_images_bring_the_noise_that_fits(schedule):
    alpha, sigma, x_t = noisy(schedule)
    clipped = Prediction(x_t, X_0, *schedule(TIMES), epsilon=EPSILON).with_x0(X_0.clamp(-1, 1))
    torch.testing.assert_close(alpha * clipped.x0 + sigma * clipped.epsilon, x_t)
    assert clipped.x0.abs().max() == 1


@pytest.mark.parametrize(("weight", "share"), [(0.0, (1, 0)), (0.5, (0.5, 0.5)), (1.0, (0, 1)), (3.0, (-2, 3))])
def test_going_towards_another_prediction(weight, share):
    one = Prediction(X_0, X_0, *SCHEDULES["linear"](TIMES), epsilon=EPSILON)
    two = Prediction(X_0, EPSILON, *SCHEDULES["linear"](TIMES), epsilon=2 * X_0)
    between = one.towards(two, weight)
    torch.testing.assert_close(between.x0, share[0] * X_0 + share[1] * EPSILON)
    torch.testing.assert_close(between.epsilon, share[0] * EPSILON + share[1] * 2 * X_0)
    assert between.x_t is X_0


@pytest.mark.parametrize(
    ("schedule", "name", "sentence"),
    [
        (
            "flow",
            "epsilon",
            r"epsilon cannot be predicted under RectifiedFlow: .*α = 0.* \(use .*v, flow, edm or x0\)$",
        ),
        ("edm", "v", r"v cannot be predicted under EDM: .*to 80 times the data \(use the parametrization edm\)$"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(schedule, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        Denoiser(Recorder(lambda x, clock: x), SCHEDULES[schedule], PARAMETRIZATIONS[name])


def test_v_is_refused_wherever_it_grows():
    """By what a schedule does, not by what it is called."""

    class Exploding(schedules.RectifiedFlow):
        def __call__(self, t):
            return torch.ones_like(t), 50 * t

    with pytest.raises(KakusanError, match=r"v cannot be predicted under Exploding: .*to 50 times the data"):
        V().check(Exploding())


@every_pair
def test_pairs_that_make_sense_are_finite_at_the_noisiest(schedule, name):
    Denoiser(Recorder(lambda x, clock: x), SCHEDULES[schedule], PARAMETRIZATIONS[name])
    end = SCHEDULES[schedule](torch.ones((), dtype=torch.float64))
    assert PARAMETRIZATIONS[name].c_in(*end).isfinite()
    assert torch.stack(PARAMETRIZATIONS[name].recover(X_0, EPSILON, *end)).isfinite().all()


@pytest.mark.parametrize("sigma_data", [0.0, -0.5, float("inf"), float("nan")])
def test_data_without_deviation_are_refused(sigma_data):
    with pytest.raises(ValueError, match=f"sigma_data must be positive and finite, not {sigma_data:g}$"):
        EDMPreconditioning(sigma_data)


def test_a_coefficient_is_shaped_and_cast_to_multiply():
    x = torch.ones(2, 3, 4, 4)
    for coefficient, shape in [(torch.tensor(0.5).double(), ()), (torch.tensor([0.5, 2.0]).double(), (2, 1, 1, 1))]:
        expanded = expand(coefficient, x)
        assert expanded.shape == shape
        assert expanded.dtype == x.dtype
    assert expand(torch.tensor([0.5, 2.0]), x.to("meta")).device.type == "meta"
