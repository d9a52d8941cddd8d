"""The same network and the same noise give what diffusers gives, step by step."""

import pytest
import torch
from torch import nn

from kakusan import grids, schedules
from kakusan.denoiser import Bind, Denoiser
from kakusan.guidance import Clip
from kakusan.parametrization import X0, Epsilon, V
from kakusan.samplers import ddim, ddpm
from tests.oracles import seeded_noise

diffusers = pytest.importorskip("diffusers")

MAKERS = {"linear": schedules.linear, "scaled_linear": schedules.quadratic, "squaredcos_cap_v2": schedules.cosine}
MEANINGS = {"epsilon": Epsilon(), "v_prediction": V(), "sample": X0()}
# Under free walks with 1/α = 2·10⁴, ε-prediction amplifies the rounding of both libraries without bound.
TREACHEROUS = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "epsilon", "clip_sample": False}
SETTINGS = [
    settings
    for beta_schedule in MAKERS
    for prediction_type in MEANINGS
    for clip in (True, False)
    if (settings := {"beta_schedule": beta_schedule, "prediction_type": prediction_type, "clip_sample": clip})
    != TREACHEROUS
]
PUBLISHED = {"beta_schedule": "linear", "prediction_type": "epsilon", "clip_sample": True}

every_setting = pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values()))
)
every_variance = pytest.mark.parametrize(
    ("variance", "theirs"), [("posterior", "fixed_small"), ("beta", "fixed_large")]
)
every_eta = pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
every_grid = pytest.mark.parametrize("grid", [grids.leading, grids.trailing])


class TinyNetwork(nn.Module):
    """A random network that is anything but linear and knows the time."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.inner, self.outer = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x, clock):
        clock = clock.to(x.dtype)[:, None, None, None]
        return self.outer(torch.tanh(self.inner(x) + torch.cos(clock / 300)))


@torch.no_grad()
def largest_difference(ours, scheduler, grid, *, dtype, **options):
    """Walks 20 steps of one chain with both libraries and returns max |a − b| over all steps and pixels."""
    # Their tables are float32, where 1 − ᾱ cancels; made anew in float64, they show whether the formulas agree.
    scheduler.alphas_cumprod = (1 - scheduler.betas.to(dtype)).cumprod(0)
    scheduler.one = torch.ones((), dtype=dtype)
    scheduler.set_timesteps(20)
    network = TinyNetwork().to(dtype)

    denoise = Bind(Denoiser(network, schedules.Chain(scheduler.betas), MEANINGS[scheduler.config.prediction_type]))
    denoise = Clip(denoise) if scheduler.config.clip_sample else denoise
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)).to(dtype)

    generator, differences = torch.Generator().manual_seed(2), []
    walk = ours(denoise, x, grid(denoise.schedule, 20), noise=seeded_noise(2))
    for step, timestep in zip(walk, scheduler.timesteps, strict=True):
        output = network(x, timestep.expand(len(x)))
        x = scheduler.step(output, timestep, x, generator=generator, **options).prev_sample
        differences.append((step.x - x).abs().max().item())
    return max(differences)


@pytest.mark.parametrize("beta_schedule", MAKERS)
def test_the_chains_are_the_same(beta_schedule):
    scheduler = diffusers.DDPMScheduler(beta_schedule=beta_schedule)
    torch.testing.assert_close(MAKERS[beta_schedule]().betas.float(), scheduler.betas, rtol=1e-5, atol=1e-7)


def ddpm_difference(settings, variance, theirs, dtype):
    scheduler = diffusers.DDPMScheduler(**settings, variance_type=theirs, timestep_spacing="leading")

    def ours(*walk, noise):
        return ddpm(*walk, variance=variance, noise=noise)

    return largest_difference(ours, scheduler, grids.leading, dtype=dtype)


def ddim_difference(settings, eta, grid, dtype):
    scheduler = diffusers.DDIMScheduler(**settings, set_alpha_to_one=True, timestep_spacing=grid.__name__)

    def ours(*walk, noise):
        return ddim(*walk, eta=eta, noise=noise)

    clip = settings["clip_sample"]
    return largest_difference(ours, scheduler, grid, dtype=dtype, eta=eta, use_clipped_model_output=clip)


@every_setting
@every_variance
def test_ddpm_has_the_same_formulas(settings, variance, theirs):
    assert ddpm_difference(settings, variance, theirs, torch.float64) < 1e-9


@every_setting
@every_eta
@every_grid
def test_ddim_has_the_same_formulas(settings, eta, grid):
    assert ddim_difference(settings, eta, grid, torch.float64) < 1e-9


@every_variance
def test_ddpm_as_published_agrees_in_float32(variance, theirs):
    assert ddpm_difference(PUBLISHED, variance, theirs, torch.float32) < 1e-5


@every_eta
@every_grid
def test_ddim_as_published_agrees_in_float32(eta, grid):
    assert ddim_difference(PUBLISHED, eta, grid, torch.float32) < 1e-5
