"""Laws of the U-Net: what it starts as, what reaches every weight, what it takes and what it refuses."""

import pytest
import torch

from kakusan.condition import Condition
from kakusan.errors import KakusanError
from kakusan.networks import UNet
from tests.networks.randomised import randomised

SMALL = {"channels": (8, 16), "blocks": 1, "attention_levels": (1,)}
VARIANTS = {
    "plain": SMALL,
    "scale and shift": {**SMALL, "scale_shift": True},
    "heads": {**SMALL, "head_channels": 4, "attention_levels": (0, 1), "blocks": 2},
    "classes": {**SMALL, "classes": 3},
    "no attention": {**SMALL, "attention_levels": (), "middle_attention": False},
    "one level": {"channels": (6,), "blocks": 1},
    "four levels": {"channels": (8, 12, 12, 20), "blocks": 1},
    "odd": {"channels": (7, 21), "blocks": 1, "attention_levels": (0,)},
}
every_variant = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())


def batch(count=3, channels=3, height=8, width=16):
    generator = torch.Generator().manual_seed(1)
    clock = torch.rand(count, generator=generator) * 999
    return torch.randn(count, channels, height, width, generator=generator), clock


def labels_for(network, *labels):
    return Condition(torch.tensor(labels)) if network.classes else None


@every_variant
def test_a_new_network_gives_zero(options):
    network = UNet(3, 5, **options)
    output = network(*batch(), labels_for(network, 0, 2, -1))
    assert output.shape == (3, 5, 8, 16)
    assert (output == 0).all()


@every_variant
def test_a_gradient_reaches_every_parameter(options):
    """Well above rounding, so that no layer is cut off or cancelled by a normalisation."""
    network = randomised(UNet(3, **options))
    network(*batch(), labels_for(network, 0, 1, 2)).square().mean().backward()
    for name, parameter in network.named_parameters():
        if name.endswith("key.bias"):
            continue  # Softmax takes no notice of a shift that all keys share.
        rows = parameter.grad[:-1] if name == "class_embedding.weight" else parameter.grad
        assert rows.abs().max() > 1e-5, name


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_any_number_of_image_channels(channels):
    assert randomised(UNet(channels, **SMALL))(*batch(channels=channels)).shape == (3, channels, 8, 16)


@every_variant
def test_an_image_does_not_see_its_neighbours_in_the_batch(options):
    network = randomised(UNet(3, **options)).eval()
    x, clock = batch()
    together = network(x, clock, labels_for(network, 0, 2, -1))
    for i, label in enumerate((0, 2, -1)):
        alone = network(x[i : i + 1], clock[i : i + 1], labels_for(network, label))
        torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-4, atol=1e-5)


def test_clock_and_class_are_heard():
    network = randomised(UNet(3, **SMALL, classes=3))
    x, clock = batch()
    outputs = [network(x, clock, Condition(torch.full((3,), label))) for label in (0, 1, -1)]
    outputs.append(network(x, clock + 10, Condition(torch.zeros(3, dtype=torch.long))))
    for i, output in enumerate(outputs):
        assert all((output - other).abs().max() > 1e-3 for other in outputs[:i])


def test_no_condition_is_the_null_class():
    network = randomised(UNet(3, **SMALL, classes=3))
    x, clock = batch()
    assert torch.equal(network(x, clock), network(x, clock, Condition(torch.full((3,), -1))))


def test_dropout_acts_in_training_and_rests_in_evaluation():
    network = randomised(UNet(3, **SMALL, dropout=0.3))
    x, clock = batch()
    assert not torch.equal(network.train()(x, clock), network(x, clock))
    assert torch.equal(network.eval()(x, clock), network(x, clock))


@every_variant
def test_weights_saved_and_loaded_give_the_same_output(options, tmp_path):
    network, other = randomised(UNet(3, **options)), UNet(3, **options)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    condition = labels_for(network, 0, 2, -1)
    assert torch.equal(network(*batch(), condition), other(*batch(), condition))


def test_half_precision_works():
    x, clock = batch()
    output = randomised(UNet(3, **SMALL)).to(torch.bfloat16)(x.to(torch.bfloat16), clock)
    assert output.dtype == torch.bfloat16
    assert output.isfinite().all()


@pytest.mark.parametrize(
    ("channels", "scale_shift", "groups"),
    [((128, 256), False, 32), ((48, 96), False, 24), ((32, 64), True, 16), ((7, 21), False, 1), ((37,), False, 1)],
)
def test_groups_are_the_most_that_fit(channels, scale_shift, groups):
    assert UNet(1, channels=channels, blocks=1, scale_shift=scale_shift).groups == groups


def test_one_channel_a_group_is_refused_where_time_is_added():
    """The normalisation would remove all that time says; scaling and shifting come after it."""
    with pytest.raises(KakusanError, match=r"at least 2 channels a group, which 8 does not: 4 fits"):
        UNet(3, **SMALL, groups=8)
    assert UNet(3, **SMALL, groups=8, scale_shift=True).groups == 8


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"groups": 3}, r"groups must divide all of channels \(8, 16\)"),
        ({"groups": 0}, r"groups must divide"),
        ({"head_channels": 3}, r"head_channels must divide .* but 3 does not divide 16"),
        ({"head_channels": 0}, r"head_channels must divide"),
        ({"attention_levels": (2,)}, r"attention_levels must lie between 0, the full resolution, and 1, not 2"),
        ({"attention_levels": (-1,)}, r"attention_levels .* not -1"),
        ({"channels": ()}, r"channels must name at least one level"),
        ({"channels": (1, 2)}, r"channels must name .* not \(1, 2\)"),
        ({"blocks": 0}, r"blocks must be at least 1, not 0"),
        ({"classes": 0}, r"classes must be at least 1, not 0"),
        ({"in_channels": 0}, r"in_channels must be at least 1, not 0"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), not 1\.0"),
    ],
)
def test_an_impossible_network_is_refused(options, sentence):
    with pytest.raises(KakusanError, match=sentence):
        UNet(**{"in_channels": 3, **SMALL, **options})


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((3, 30, 32), "a height of 30 does not fit this network: it must be a multiple of 4, such as 28 or 32"),
        ((3, 32, 3), "a width of 3 does not fit this network: it must be a multiple of 4, such as 4 or 8"),
        ((1, 32, 32), r"images of shape \(B, 3, H, W\), not \(2, 1, 32, 32\)"),
        ((32, 32), r"images of shape \(B, 3, H, W\), not \(2, 32, 32\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape, sentence):
    network = UNet(3, channels=(8, 8, 8), blocks=1)
    with pytest.raises(KakusanError, match=sentence):
        network(torch.zeros(2, *shape), torch.zeros(2))


def test_a_condition_without_classes_is_refused():
    with pytest.raises(KakusanError, match="takes no condition"):
        UNet(3, **SMALL)(*batch(), Condition(torch.zeros(3, dtype=torch.long)))
