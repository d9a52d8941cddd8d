"""The same weights give the same output here and in diffusers, both ways."""

import sys

import pytest
import torch

from kakusan.condition import Condition
from kakusan.errors import KakusanError
from kakusan.interop.diffusers import DiffusersNetwork, unet_from_diffusers, unet_to_diffusers
from kakusan.networks import UNet
from tests.networks.randomised import randomised

diffusers = pytest.importorskip("diffusers")

# What google/ddpm-cifar10-32 is made of, but for its sizes.
CONVENTIONS = {
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "downsample_padding": 0,
    "attention_head_dim": None,
    "norm_eps": 1e-6,
}
TINY = {
    **CONVENTIONS,
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
# One level and nothing else: what is not said here is as diffusers has it.
PLAIN = {
    "down_block_types": ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",),
    "block_out_channels": (8,),
    "norm_num_groups": 4,
}
THEIRS = {
    "plain": {},
    "classes": {"num_class_embeds": 4},
    "scale and shift": {"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 4},
    "heads": {"attention_head_dim": 4, "layers_per_block": 2},
    "odd": {"in_channels": 5, "out_channels": 2, "block_out_channels": (9, 15), "norm_num_groups": 3},
    "no attention in the middle": {"add_attention": False, "dropout": 0.2},
    "cosines first": {"flip_sin_to_cos": True},
    "other frequencies": {"freq_shift": 0},
    "padded on all sides": {"downsample_padding": 1},
    "as diffusers has it": {
        **{"flip_sin_to_cos": True, "freq_shift": 0, "downsample_padding": 1, "norm_eps": 1e-5},
        **{"attention_head_dim": 8, "num_class_embeds": 4, "block_out_channels": (10, 16), "norm_num_groups": 2},
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    },
}
OURS = {
    "plain": {},
    "classes": {"classes": 3},
    "scale and shift": {"scale_shift": True, "groups": 8},
    "heads": {"head_channels": 4, "attention_levels": (0, 2), "blocks": 2},
    "odd": {"in_channels": 5, "out_channels": 2, "channels": (7, 14, 21)},
    "no attention": {"attention_levels": (), "middle_attention": False, "dropout": 0.2},
    "as diffusers has it": {"freq_shift": 0, "downsample_padding": 1},
}


def difference(network, model, size=8):
    """Returns max |a - b| of both outputs, for every label there is, and makes sure that there is an output."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, network.in_channels, size, size + 8, generator=generator)
    clock = torch.tensor([0.0, 1.0, 499.5, 999.0])
    labels = None if network.classes is None else torch.tensor([0, 1, 2, -1])
    network.eval(), model.eval()
    with torch.no_grad():
        ours = network(x, clock, None if labels is None else Condition(labels))
        theirs = model(x, clock, class_labels=None if labels is None else labels % (network.classes + 1)).sample
    assert 0.05 < theirs.std() < 20
    return (ours - theirs).abs().max().item()


@pytest.mark.parametrize("options", THEIRS.values(), ids=THEIRS.keys())
def test_a_network_from_diffusers_gives_the_same_output(options):
    model = randomised(diffusers.UNet2DModel(**TINY | options))
    network = unet_from_diffusers(model)
    assert difference(network, model) <= 1e-5
    back = unet_to_diffusers(network, sample_size=8)
    assert difference(network, back) <= 1e-5
    if not model.config["flip_sin_to_cos"]:
        assert_same_weights(model, back)


@pytest.mark.parametrize("options", OURS.values(), ids=OURS.keys())
def test_a_network_given_to_diffusers_gives_the_same_output(options):
    network = randomised(UNet(**{"in_channels": 3, "channels": (8, 16, 16), "blocks": 1} | options))
    model = unet_to_diffusers(network, sample_size=8)
    assert difference(network, model) <= 1e-5
    assert_same_weights(network, unet_from_diffusers(model))


def assert_same_weights(before, after):
    assert before.state_dict().keys() == after.state_dict().keys()
    for name, weight in before.state_dict().items():
        assert torch.equal(weight, after.state_dict()[name]), name


@pytest.mark.parametrize("classes", [None, 10])
def test_the_network_of_ddpm_on_cifar10(classes):
    """google/ddpm-cifar10-32, built at random: every weight has its place, and both outputs agree."""
    model = diffusers.UNet2DModel(
        **CONVENTIONS,
        sample_size=32,
        block_out_channels=(128, 256, 256, 256),
        layers_per_block=2,
        norm_num_groups=32,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=None if classes is None else classes + 1,
    )
    network = unet_from_diffusers(randomised(model))
    assert sum(p.numel() for p in network.parameters()) == 35_746_307 + (0 if classes is None else 11 * 512)
    assert difference(network, model, size=32) <= 1e-5


def test_a_conversion_copies():
    network = randomised(UNet(3, channels=(8,), blocks=1))
    before = network.input.weight.clone()
    model = unet_to_diffusers(network, sample_size=(8, 12))
    model.conv_in.weight.data.zero_()
    assert torch.equal(network.input.weight, before)
    assert model.config["sample_size"] == (8, 12)


def test_precision_and_mode_come_along():
    network = UNet(3, channels=(8,), blocks=1).to(torch.bfloat16).eval()
    model = unet_to_diffusers(network, sample_size=8)
    assert model.dtype == torch.bfloat16
    assert not model.training
    assert unet_from_diffusers(model).input.weight.dtype == torch.bfloat16
    assert unet_from_diffusers(model.train()).training


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("act_fn", "gelu"),
        ("downsample_type", "resnet"),
        ("upsample_type", "resnet"),
        ("time_embedding_type", "fourier"),
        ("center_input_sample", True),
        ("time_embedding_dim", 64),
        ("mid_block_type", None),
        ("mid_block_scale_factor", 2),
        ("class_embed_type", "timestep"),
        ("attn_norm_num_groups", 2),
        ("down_block_types", ("DownBlock2D", "ResnetDownsampleBlock2D")),
        ("up_block_types", ("UpBlock2D", "AttnUpBlock2D")),
    ],
)
def test_what_our_network_has_not_is_refused_by_name(field, value):
    with pytest.raises(KakusanError, match=field):
        unet_from_diffusers(diffusers.UNet2DModel(**TINY | {field: value}))


def test_scale_and_shift_without_a_norm_in_the_middle_is_refused():
    model = diffusers.UNet2DModel(**TINY, resnet_time_scale_shift="scale_shift")
    with pytest.raises(KakusanError, match="attn_norm_num_groups=None does not convert, only one with 4"):
        unet_from_diffusers(model)


@pytest.mark.parametrize("given", [{"norm_num_groups": 8}, {"attention_head_dim": 3, "add_attention": False}])
def test_what_our_network_refuses_is_run_as_it_is(given):
    """One channel a group is fine for them; a U-Net like that still runs, and the refusal says how."""
    model = diffusers.UNet2DModel(**TINY | given)
    with pytest.raises(KakusanError, match=r"does not convert: run it .*kakusan\.interop\.wrap.* \(our own refuses"):
        unet_from_diffusers(model)
    assert DiffusersNetwork(model)(torch.zeros(1, 3, 8, 8), torch.zeros(1)).shape == (1, 3, 8, 8)


def test_a_foreign_network_is_called_like_ours():
    """Whatever its conventions: here those of diffusers' own defaults."""
    model = randomised(diffusers.UNet2DModel(**PLAIN, num_class_embeds=4))
    network, x, clock = DiffusersNetwork(model), torch.randn(3, 3, 8, 8), torch.tensor([0.0, 10.0, 999.0])
    theirs = model(x, clock, class_labels=torch.tensor([0, 2, 3])).sample
    assert torch.equal(network(x, clock, Condition(torch.tensor([0, 2, -1]))), theirs)
    assert torch.equal(network(x, clock), model(x, clock, class_labels=torch.full((3,), 3)).sample)

    without_classes = diffusers.UNet2DModel(**PLAIN)
    assert torch.equal(DiffusersNetwork(without_classes)(x, clock), without_classes(x, clock).sample)
    with pytest.raises(KakusanError, match="num_class_embeds"):
        DiffusersNetwork(without_classes)(x, clock, Condition(torch.zeros(3, dtype=torch.long)))


def test_a_foreign_network_without_labels_in_its_embedding_is_refused():
    model = diffusers.UNet2DModel(**TINY, class_embed_type="timestep")
    with pytest.raises(KakusanError, match="class_embed_type 'timestep' takes no labels"):
        DiffusersNetwork(model)


def test_a_missing_diffusers_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(KakusanError, match=r"needs diffusers, .* \(pip install 'kakusan\[diffusers\]'\)"):
        unet_to_diffusers(UNet(3, channels=(8,), blocks=1), sample_size=8)
