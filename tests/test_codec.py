"""Pictures and their latents, in tiles and in half precision as well."""

import pytest
import torch
from torch import nn

from kakusan.codec import Codec, tiled
from kakusan.errors import KakusanError
from kakusan.networks import Autoencoder
from tests.networks.randomised import randomised


def codec(**options):
    network = randomised(Autoencoder(3, channels=(8, 16), latent_channels=2, middle_attention=False)).eval()
    return Codec(network, (3, 8, 8), **options)


def images(side=8):
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_it_is_what_its_network_is_in_evaluation():
    made = codec()
    made.network.train()
    shift = made.network.shift.clone()
    posterior = made.encode(images())
    assert made.network.training
    assert torch.equal(made.network.shift, shift), "to encode is not to learn"
    torch.testing.assert_close(posterior.mean, made.network.eval().encode(images()).mean)
    assert made.latent_shape == (2, 4, 4)
    decoded = made.decode(posterior.mean)
    assert decoded.shape == (2, 3, 8, 8)
    assert decoded.abs().max() <= 1


@pytest.mark.parametrize(("size", "tile"), [((40, 40), 16), ((16, 56), 16), ((18, 22), 8)])
@pytest.mark.parametrize("factor", [2, 0.5, 1])
def test_tiles_of_what_sees_only_pixels_make_the_same_picture(size, tile, factor):
    def alone(x):
        if factor == 2:
            return nn.functional.interpolate(x, scale_factor=2, mode="nearest")
        return nn.functional.avg_pool2d(x, 2) if factor == 0.5 else 3 * x

    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tiled(alone, x, tile, factor), alone(x), atol=1e-5, rtol=1e-5)


def test_a_large_picture_in_tiles_is_nearly_the_same():
    whole, cut = codec(), codec(tile=32)
    large = images(96)
    latents = whole.encode(large).mean
    for ours, theirs in ((cut.encode(large).mean, latents), (cut.decode(latents), whole.decode(latents))):
        alike = torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1]
        assert alike > 0.9, "normalised by tiles, and not by the whole picture"
    assert torch.equal(cut.encode(images()).mean, whole.encode(images()).mean), "small ones are not cut"


def test_what_is_no_number_in_half_precision_is_computed_again():
    half = codec(dtype=torch.bfloat16)
    seen = []

    def overflowing(latents):
        seen.append(torch.is_autocast_enabled("cpu"))
        return torch.full((2, 3, 8, 8), torch.inf if seen[-1] else 0.5)

    half.network.decode = overflowing
    assert (half.decode(torch.zeros(2, 2, 4, 4)) == 0.5).all()
    assert seen == [True, False]


def test_what_is_no_number_at_all_is_told_of():
    broken = codec(source="a run")
    with torch.no_grad():
        broken.network.encoder.input.weight[:] = torch.nan
    with pytest.raises(KakusanError, match=r"gives NaN or infinite values \(a run are damaged\)"):
        broken.encode(images())
    with pytest.raises(KakusanError, match="latents are NaN or infinite"):
        codec().decode(torch.full((1, 2, 4, 4), torch.nan))


def test_tiles_that_make_no_sense_are_refused():
    with pytest.raises(KakusanError, match="tile must be a multiple of 2, of 8 pixels or more, not 5"):
        codec(tile=5)
    with pytest.raises(KakusanError, match="a height of 9 does not fit"):
        Codec(codec().network, (3, 9, 8))
