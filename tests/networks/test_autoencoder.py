"""Laws of the autoencoder: shapes, the distribution of its latents, what it measures, what it refuses."""

import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.networks.autoencoder import Autoencoder, Posterior
from tests.networks.randomised import randomised

SMALL = {"channels": (8, 16), "latent_channels": 2}
VARIANTS = {
    "plain": SMALL,
    "no attention": {**SMALL, "middle_attention": False},
    "three levels": {"channels": (8, 12, 16), "blocks": 2},
    "one level": {"channels": (6,)},
}
every_variant = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())


def images(count=3, channels=3, height=8, width=16):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@every_variant
def test_latents_are_a_smaller_picture(options):
    network = randomised(Autoencoder(3, **options)).eval()
    posterior = network.encode(images())
    shape = network.latent_shape((3, 8, 16))
    assert posterior.mean.shape == posterior.log_variance.shape == (3, *shape)
    assert shape[1:] == (8 // network.factor, 16 // network.factor)
    assert network.decode(posterior.mean).shape == (3, 3, 8, 16)


@every_variant
def test_a_gradient_reaches_every_parameter(options):
    network = randomised(Autoencoder(3, **options))
    noise = torch.randn(3, *network.latent_shape((3, 8, 16)), generator=torch.Generator().manual_seed(2))
    decoded, mean, log_variance = network(images(), noise)
    loss = (decoded - images()).square().mean() + Posterior(mean, log_variance).divergence().mean()
    loss.backward()
    for name, parameter in network.named_parameters():
        if not name.endswith("key.bias"):  # softmax takes no notice of a shift that all keys share
            assert parameter.grad.abs().max() > 1e-6, name


def test_the_divergence_is_that_of_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 3, 2, 4, 4, generator=generator)
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum((1, 2, 3))
    torch.testing.assert_close(Posterior(mean, log_variance).divergence(), expected)


def test_samples_have_the_moments_of_their_distribution():
    posterior = Posterior(torch.full((20_000, 1, 1, 1), 2.0), torch.full((20_000, 1, 1, 1), 0.25).log())
    drawn = posterior.sample(torch.randn(20_000, 1, 1, 1, generator=torch.Generator().manual_seed(0)))
    assert drawn.mean().item() == pytest.approx(2, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.02)


def test_while_learning_what_is_drawn_has_mean_nothing_and_deviation_one_in_every_channel():
    network = randomised(Autoencoder(3, **SMALL)).train()
    posterior = network.encode(images(16))
    torch.testing.assert_close(posterior.mean.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    second = (posterior.mean.square() + posterior.log_variance.exp()).mean((0, 2, 3))
    torch.testing.assert_close(second, torch.ones(2), atol=1e-4, rtol=0)


def test_the_divergence_of_a_batch_is_the_logarithm_of_its_variance_alone():
    """So that a channel that says nothing, whose variance is 1, costs nothing."""
    posterior = randomised(Autoencoder(3, **SMALL)).train().encode(images(16))
    expected = -0.5 * posterior.log_variance.flatten(1).sum(1).mean()
    torch.testing.assert_close(posterior.divergence().mean(), expected, atol=1e-2, rtol=1e-3)


def test_images_that_are_all_alike_leave_a_gradient():
    network = randomised(Autoencoder(3, **SMALL)).train()
    decoded, *_ = network(torch.zeros(4, 3, 8, 8), torch.zeros(4, 2, 4, 4))
    decoded.square().mean().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in network.parameters())


def test_what_was_measured_is_used_afterwards_and_kept_with_the_weights():
    network = randomised(Autoencoder(3, **SMALL)).train()
    for _ in range(700):
        learning = network.encode(images(16))
    after = network.eval().encode(images(16))
    torch.testing.assert_close(after.mean, learning.mean, atol=5e-3, rtol=0)
    torch.testing.assert_close(after.log_variance, learning.log_variance, atol=5e-3, rtol=0)
    again = Autoencoder(3, **SMALL).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.encode(images(16)).mean, after.mean)


def test_where_the_raw_latents_lie_is_nobody_elses_business():
    """Moved and stretched before they are standardised, they decode to the same images."""
    network = randomised(Autoencoder(3, **SMALL)).eval()
    raw = network.decode(network.encode(images()).mean)
    network.shift += 0.7
    network.scale *= 3
    torch.testing.assert_close(network.decode(network.encode(images()).mean), raw, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"channels": ()}, "channels must name at least one level"),
        ({"channels": (1,)}, "each of 2 channels or more"),
        ({"groups": 3}, r"groups must divide all of channels \(8, 16\), which 3 does not: 4 fits"),
        ({"latent_channels": 0}, "latent_channels must be at least 1, not 0"),
    ],
)
def test_what_makes_no_network_is_refused(options, answer):
    with pytest.raises(KakusanError, match=answer):
        Autoencoder(3, **{**SMALL, **options})


def test_images_that_it_does_not_divide_are_refused():
    network = Autoencoder(3, **SMALL)
    with pytest.raises(KakusanError, match="a width of 15 does not fit this network: it must be a multiple of 2"):
        network.encode(images(width=15))
    with pytest.raises(KakusanError, match=r"takes images of shape \(B, 3, H, W\)"):
        network.latent_shape((1, 8, 8))
