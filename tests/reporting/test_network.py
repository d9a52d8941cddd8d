"""The diagram is of the network that is there, and its title counts what is in it."""

import re

import pytest
from torch import nn

from kakusan.networks import SimpleUNet, UNet
from kakusan.reporting.anatomy import Network, Stack, UShape, read
from kakusan.reporting.language import language, languages
from kakusan.reporting.sections.network import finding, section
from tests.tiny import PlainNetwork

ENGLISH = language("en")
UNETS = {
    "one level": UNet(1, channels=(8,), blocks=1),
    "attention": UNet(3, channels=(8, 16, 8), blocks=3, attention_levels=(1,), middle_attention=False, classes=7),
    "simple": SimpleUNet(3, 3, time_emb_dim=20, base_channels=16),
}
every_unet = pytest.mark.parametrize("network", UNETS.values(), ids=UNETS.keys())


def count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def words(content):
    return [plain(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", content)]


def test_a_unet_is_read_off_its_layers():
    unet = UNETS["attention"]
    shape = read(unet, (3, 16, 8)).shape
    assert [(stack.size, stack.channels, stack.blocks, stack.attention) for stack in shape.down] == [
        ((16, 8), 8, 3, False),
        ((8, 4), 16, 3, True),
        ((4, 2), 8, 3, False),
    ]
    assert [(stack.channels, stack.blocks, stack.attention) for stack in shape.up] == [
        (8, 4, False),
        (16, 4, True),
        (8, 4, False),
    ]
    assert shape.bottom == Stack((4, 2), 8, 2, False, count(unet.middle))
    assert (shape.channels, shape.waves, shape.embedding, shape.classes) == (3, 8, 32, 7)


def test_the_textbooks_network_halves_three_times():
    simple = UNETS["simple"]
    shape = read(simple, (3, 32, 32)).shape
    assert [(stack.size[0], stack.channels) for stack in shape.down] == [(32, 16), (16, 32), (8, 64)]
    assert [(stack.size[0], stack.channels) for stack in shape.up] == [(32, 16), (16, 16), (8, 32)]
    assert shape.bottom == Stack((4, 4), 64, 1, False, count(simple.bottleneck))
    assert (shape.waves, shape.embedding, shape.classes) == (20, 20, 0)


@every_unet
def test_every_parameter_stands_in_one_box(network):
    told = read(network, (network.in_channels, 16, 16))
    boxes = sum(stack.parameters for stack in (*told.shape.down, told.shape.bottom, *told.shape.up))
    assert told.parameters == count(network) == boxes + told.shape.conditioning


def test_the_title_says_where_most_parameters_work():
    small, large = Stack((8, 8), 4, 1, False, 100), Stack((4, 4), 4, 1, False, 300)
    shape = UShape(
        1, down=[large, small], bottom=small, up=[small, small], waves=2, embedding=2, classes=0, conditioning=0
    )
    assert plain(finding(ENGLISH, Network("UNet", 1_234_000, shape))).startswith(
        "The network has 1,234,000 parameters, 4.94 MB in float32; the largest part"
    )
    assert plain(finding(ENGLISH, Network("UNet", 1000, shape))).endswith("40.0 %, works on 8 × 8 pixels")


@every_unet
@pytest.mark.parametrize("code", languages())
def test_the_diagram_has_a_row_a_level_and_says_what_is_in_every_box(code, network):
    told = read(network, (network.in_channels, 16, 32))
    figure = section(language(code), told).figure
    assert figure.content.count('class="flow skip"') == len(told.shape.down)
    said = words(figure.content)
    for stack in (*told.shape.down, told.shape.bottom, *told.shape.up):
        assert f"{stack.size[1]} × {stack.size[0]}" in said
        assert f"{100 * stack.parameters / told.parameters:.1f} %" in said
    assert f"{told.parameters:,}" in figure.title
    assert figure.title in figure.alt
    assert type(network).__name__ in figure.caption


def test_class_and_attention_are_told_where_they_are():
    said = {
        name: " ".join(words(section(ENGLISH, read(net, (net.in_channels, 16, 16))).figure.content))
        for name, net in UNETS.items()
    }
    assert "one of 7 classes, or none → 32" in said["attention"]
    assert said["attention"].count("3 blocks + attention") == 1
    assert "1 block " in said["one level"]
    assert said["one level"].count("+ attention") == 1, "at the bottom"
    assert "class" not in said["simple"] + said["one level"]
    assert "attention" not in said["simple"]


@pytest.mark.parametrize("code", languages())
def test_of_a_network_of_ones_own_there_is_name_and_size_and_no_diagram(code):
    told = read(PlainNetwork(), (1, 8, 8))
    assert told == Network("PlainNetwork", count(PlainNetwork()))
    figure = section(language(code), told).figure
    assert "<svg" not in figure.content
    assert "PlainNetwork" in figure.content
    assert "PlainNetwork" in figure.caption
    assert f"{told.parameters:,}" in figure.title


def test_a_name_is_shown_as_it_is():
    assert "<i>" not in section(ENGLISH, Network("<i>mine</i>", count(nn.Linear(1, 1)))).figure.content


def test_without_a_network_there_is_no_section():
    assert section(ENGLISH, None) is None
