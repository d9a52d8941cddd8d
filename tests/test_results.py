"""What experiments find can be written, read back, and is refused where it is wrong."""

import json

import pytest

from kakusan.config.models import Sampling
from kakusan.errors import KakusanError
from kakusan.results import Judgement, Measured
from tests.reporting.pages import MEASURED, METRICS


def test_what_is_written_is_read_back():
    assert Measured.read(json.loads(json.dumps(MEASURED.as_dict()))) == MEASURED
    assert Measured.read(Measured().as_dict()) == Measured()


def test_the_fields_of_the_judgement_stand_beside_the_others():
    written = MEASURED.as_dict()
    assert "judgement" not in written
    assert Judgement.model_fields.keys() < written.keys()


def test_what_is_unknown_is_passed_over():
    assert Measured.read({**METRICS, "of tomorrow": 1}) == MEASURED


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"frechet_distance": None}, "frechet_distance: .*number, not None"),
        ({"samplers": [{"name": "ddim"}]}, r"samplers\.0\.steps is missing$"),
        ({"guidance": []}, "guidance is not as this version of kakusan writes it"),
    ],
)
def test_what_is_wrong_is_named(wrong, sentence):
    with pytest.raises(KakusanError, match=sentence):
        Measured.read({**METRICS, **wrong})


def test_a_judgement_says_more_of_later_weights_then_as_configured_then_of_more_images_then_of_a_longer_walk():
    how = Sampling(sampler="ddim", guidance=2.0)
    asked = how.model_dump(exclude={"batch"}, exclude_none=True)
    ordered = [
        {},
        {"images_seen": 1, "n": 9, "nfe": 9, **asked},
        {"images_seen": 2, "n": 9, "nfe": 9, **asked, "guidance": 1.0},
        {"images_seen": 2, "n": 1, "nfe": 9, **asked},
        {"images_seen": 2, "n": 2, "nfe": 1, **asked},
        {"images_seen": 2, "n": 2, "nfe": 2, **asked},
    ]
    ranks = [MEASURED.judgement.model_copy(update={"protocol": protocol}).rank(how) for protocol in ordered]
    assert ranks == sorted(set(ranks))
