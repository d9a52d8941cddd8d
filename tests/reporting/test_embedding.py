"""The embedding of time is shown as the network is told it, and its title says what the similarities say."""

import base64
import re
from io import BytesIO

import pytest
import torch
from PIL import Image

from kakusan import schedules
from kakusan.config import models as config
from kakusan.networks.embeddings import sinusoidal_embedding
from kakusan.reporting.language import language, languages
from kakusan.reporting.sections import embedding
from tests.oracles import SCHEDULES

ENGLISH = language("en")
NETWORKS = {
    "unet": (config.UNet(channels=(48, 96)), 48),
    "simple_unet": (config.SimpleUNet(time_emb_dim=256), 256),
    "own": (config.OwnNetwork(name="Mine"), 128),
}
every_network = pytest.mark.parametrize(("network", "width"), NETWORKS.values(), ids=NETWORKS.keys())


def pixels(content, sign):
    (data,) = re.findall(rf'<mask id="embedding-{sign}">.*href="data:image/png;base64,([^"]*)"', content)
    with Image.open(BytesIO(base64.b64decode(data))) as image:
        return torch.tensor(list(image.tobytes())).reshape(image.height, image.width)


@every_network
def test_it_is_as_wide_as_the_networks(network, width):
    assert embedding.width(network) == width


@pytest.mark.parametrize("steps", [1000, 50, 1])
def test_of_a_chain_the_clock_shows_the_indices_from_first_to_last(steps):
    indices = torch.linspace(0, steps - 1, 1000, dtype=torch.float64)
    torch.testing.assert_close(embedding.clock(schedules.cosine(steps)), indices, atol=1e-9, rtol=0)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_what_the_clock_shows_is_said_beside_what_is_embedded(schedule):
    """Not the number of a time, which only a chain of 1,000 steps has for its clock."""
    content = embedding.section(ENGLISH, NETWORKS["unet"][0], schedule).figure.content
    first, last = schedule.earliest or 1e-3, 1.0
    times = [first + place / 999 * (last - first) for place in (0, 100, 300, 500, 700, 999)]
    readings = [schedule.clock(torch.tensor(time, dtype=torch.float64)).item() for time in times]
    said = [reading.replace("\N{MINUS SIGN}", "-") for reading in re.findall(r'<th scope="row">([^<]+)</th>', content)]
    assert [float(reading) for reading in said] == pytest.approx(readings, rel=6e-3, abs=1e-9)
    assert len(said) == 6


def test_similarity_is_the_cosine_whatever_the_lengths():
    vectors = torch.tensor([[1.0, 0.0], [3.0, 3.0], [0.0, -0.5]])
    half = 0.5**0.5
    expected = torch.tensor([[1, half, 0], [half, 1, -half], [0, -half, 1]], dtype=torch.float64)
    torch.testing.assert_close(embedding.similarity(vectors), expected, atol=1e-7, rtol=0)


def test_the_title_names_the_most_and_the_least_similar_times():
    alike = torch.eye(6, dtype=torch.float64)
    alike[1, 4] = alike[4, 1] = 0.777
    alike[2, 3] = alike[3, 2] = -0.123
    assert embedding.finding(ENGLISH, ["0", "100", "300", "500", "700", "999"], alike) == (
        "Of six readings of the clock, 100 and 700 have the most similar embeddings, with a cosine of 0.78, "
        "and 300 and 500 the least similar, -0.12"
    )


def test_both_signs_are_seen_where_they_are():
    content = embedding.section(ENGLISH, NETWORKS["unet"][0], schedules.cosine()).figure.content
    embedded = sinusoidal_embedding(embedding.clock(schedules.cosine()), 48).T
    seen = (pixels(content, "positive") - pixels(content, "negative")) / 255
    torch.testing.assert_close(seen, embedded, atol=0.04, rtol=0)


@every_network
@pytest.mark.parametrize("code", languages())
def test_at_most_64_dimensions_are_shown_and_all_six_times_compared(code, network, width):
    figure = embedding.section(language(code), network, schedules.cosine()).figure
    assert pixels(figure.content, "positive").shape == (min(width, 64), 1000)
    assert re.findall(r'<th scope="row">(\d+)</th>', figure.content) == ["0", "100", "300", "500", "700", "999"]
    assert figure.content.count(">1.00</td>") == 6
    assert {str(width), str(min(width, 64))} <= set(re.findall(r"\d+", figure.caption))
    assert figure.title in figure.alt


def test_of_a_network_of_ones_own_the_usual_embedding_is_said_to_stand_in():
    captions = {
        kind: embedding.section(ENGLISH, network, schedules.cosine()).figure.caption
        for kind, (network, _) in NETWORKS.items()
    }
    assert [kind for kind, caption in captions.items() if "usual" in caption] == ["own"]
