"""The autoencoder gives what diffusers' gives with the same weights, both ways."""

import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.interop.autoencoders import autoencoder_from_diffusers, autoencoder_to_diffusers
from kakusan.networks.autoencoder import Autoencoder
from tests.networks.randomised import randomised

diffusers = pytest.importorskip("diffusers")

SHAPES = {
    "plain": {"block_out_channels": (8, 16), "layers_per_block": 1},
    "deep": {"block_out_channels": (8, 16, 16), "layers_per_block": 2},
    "no attention": {"block_out_channels": (8, 16), "mid_block_add_attention": False},
    "no convolutions beside the latents": {"use_quant_conv": False, "use_post_quant_conv": False},
    "none before the decoder": {"use_post_quant_conv": False},
    "grey, few latents": {"block_out_channels": (8,), "in_channels": 1, "out_channels": 1, "latent_channels": 2},
}
SCALES = {
    "a factor": {"scaling_factor": 0.18215},
    "a shift too": {"scaling_factor": 0.36, "shift_factor": 0.12},
    "one a channel": {
        "scaling_factor": 0.5,
        "latents_mean": (0.1, -0.2, 0.3, 0.4),
        "latents_std": (0.5, 0.9, 1.1, 2.0),
        "latent_channels": 4,
    },
}


def theirs(**options):
    kinds = {"down_block_types": "DownEncoderBlock2D", "up_block_types": "UpDecoderBlock2D"}
    options = {"block_out_channels": (8, 16), "norm_num_groups": 4, **options}
    blocks = {field: (kind,) * len(options["block_out_channels"]) for field, kind in kinds.items()}
    return randomised(diffusers.AutoencoderKL(**blocks, **options)).eval()


def images(channels=3):
    return torch.rand(2, channels, 16, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


@torch.no_grad()
def encoded_by(model, pixels):
    """Returns mean and log-variance as diffusers' pipelines scale latents."""
    given = model.encode(pixels).latent_dist
    scale, shift = model.config["scaling_factor"], model.config["shift_factor"] or 0.0
    if model.config["latents_std"] is not None:
        scale = scale / torch.tensor(model.config["latents_std"])[:, None, None]
        shift = torch.tensor(model.config["latents_mean"])[:, None, None]
    return (given.mean - shift) * scale, given.logvar + 2 * torch.as_tensor(scale).log()


@pytest.mark.parametrize("options", [*SHAPES.values(), *SCALES.values()], ids=[*SHAPES, *SCALES])
def test_ours_gives_what_theirs_gives(options):
    model = theirs(**options)
    ours, pixels = autoencoder_from_diffusers(model), images(options.get("in_channels", 3))
    mean, log_variance = encoded_by(model, pixels)
    with torch.no_grad():
        posterior = ours.encode(pixels)
        torch.testing.assert_close(posterior.mean, mean, atol=1e-5, rtol=0)
        torch.testing.assert_close(posterior.log_variance, log_variance, atol=1e-5, rtol=0)
        raw = model.encode(pixels).latent_dist.mean
        torch.testing.assert_close(ours.decode(mean), model.decode(raw).sample, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "options", [{}, {"channels": (8, 16, 16), "blocks": 2}, {"middle_attention": False}, {"latent_channels": 2}]
)
def test_theirs_gives_what_ours_gives_without_shift_or_factor(options):
    ours = randomised(Autoencoder(3, **{"channels": (8, 16), **options})).eval()
    ours.shift.copy_(torch.linspace(-0.5, 0.7, len(ours.shift))[:, None, None])
    ours.scale.copy_(torch.linspace(0.4, 1.9, len(ours.scale))[:, None, None])
    model = autoencoder_to_diffusers(ours, 16)
    assert (model.config["scaling_factor"], model.config["shift_factor"]) == (1.0, None)
    with torch.no_grad():
        posterior, given = ours.encode(images()), model.encode(images()).latent_dist
        torch.testing.assert_close(given.mean, posterior.mean, atol=1e-5, rtol=0)
        torch.testing.assert_close(given.logvar, posterior.log_variance, atol=1e-5, rtol=0)
        torch.testing.assert_close(model.decode(posterior.mean).sample, ours.decode(posterior.mean), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"act_fn": "relu"}, "act_fn"),
        ({"out_channels": 1}, "out_channels"),
    ],
)
def test_what_ours_has_not_is_named(options, field):
    with pytest.raises(KakusanError, match=f"an AutoencoderKL with {field}="):
        autoencoder_from_diffusers(theirs(**options))
