"""The text encoder, attention to its words, and both as one network."""

import pytest
import torch

from kakusan.condition import NULL_WORD, Condition
from kakusan.errors import KakusanError
from kakusan.networks import Captioned, TextEncoder, UNet
from kakusan.networks.attention import attend
from tests.networks.randomised import randomised


def encoder(**more):
    return randomised(TextEncoder(40, **{"length": 8, "width": 12, "layers": 2, "heads": 2, **more})).eval()


def captioned(**more):
    unet = randomised(UNet(3, channels=(8, 16), blocks=1, attention_levels=(1,), text_width=12, **more))
    return Captioned(unet.eval(), encoder())


WORDS = torch.tensor([[38, 1, 2, 39, 39, 39, 39, 39], [38, 2, 1, 39, 39, 39, 39, 39]])


def test_attention_is_its_formula():
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, n, 6, generator=random) for n in (3, 5, 5))
    expected = torch.empty(2, 3, 6)
    for head in (slice(0, 3), slice(3, 6)):
        weights = (query[..., head] @ key[..., head].transpose(1, 2) / 3**0.5).softmax(-1)
        expected[..., head] = weights @ value[..., head]
    assert torch.allclose(attend(query, key, value, 2), expected, atol=1e-6)


def test_a_word_knows_those_before_it_and_none_after():
    text, words = encoder(), WORDS[:1]
    changed = words.clone()
    changed[0, 2] = 7
    before, after = text(words), text(changed)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2], after[:, 2])
    assert not torch.allclose(before[:, 3], after[:, 3])


def test_the_null_caption_is_the_one_that_says_nothing():
    text = encoder()
    nothing = torch.full((1, 8), text.end)
    nothing[0, 0] = text.start
    assert torch.equal(text(torch.full((1, 8), NULL_WORD)), text(nothing))


def test_pixels_hear_of_words_in_their_order():
    network = captioned()
    x, clock = torch.randn(1, 3, 8, 8), torch.tensor([500.0])
    one, other = (network(x, clock, Condition(words=words[None])) for words in WORDS)
    assert (one - other).abs().max() > 1e-3


def test_captions_read_before_are_the_same_as_read_in_the_call():
    network = captioned()
    x, clock, condition = torch.randn(2, 3, 8, 8), torch.tensor([5.0, 700.0]), Condition(words=WORDS)
    assert torch.equal(network(x, clock, condition), network(x, clock, network.read(condition)))
    null = Condition(words=WORDS).null()
    assert torch.equal(network(x, clock), network(x, clock, null))


def test_text_and_classes_go_together():
    network = captioned(classes=3)
    x, clock = torch.randn(2, 3, 8, 8), torch.tensor([5.0, 700.0])
    one, other = (network(x, clock, Condition(torch.tensor(labels), words=WORDS)) for labels in ([0, 1], [1, 1]))
    assert not torch.allclose(one[0], other[0])
    assert torch.equal(one[1], other[1])
    labels = torch.tensor([0, 1])
    null = Condition(labels, words=torch.full_like(WORDS, NULL_WORD))
    assert torch.equal(network(x, clock, Condition(labels)), network(x, clock, null))


def test_a_width_of_its_own_is_refused():
    with pytest.raises(KakusanError, match="reads words of width 12, and its text encoder writes them 16 wide"):
        Captioned(UNet(3, channels=(8,), text_width=12), encoder(width=16))


@pytest.mark.parametrize(
    ("more", "condition", "said"),
    [
        ({"text_width": 12}, None, "reads words of width 12, and is given no words"),
        ({"text_width": 12}, Condition(tokens=torch.zeros(1, 4, 6)), "is given words of width 6"),
        ({"text_width": 12}, Condition(words=WORDS[:1]), "words that no text encoder has read"),
        ({}, Condition(tokens=torch.zeros(1, 4, 6)), "reads no text, and is given words of width 6"),
        ({}, Condition(words=WORDS[:1]), "reads no text"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(more, condition, said):
    network = UNet(3, channels=(8, 16), blocks=1, **more)
    with pytest.raises(KakusanError, match=said):
        network(torch.zeros(1, 3, 8, 8), torch.zeros(1), condition)


def test_text_without_attention_in_the_middle_is_refused():
    with pytest.raises(KakusanError, match="needs middle_attention"):
        UNet(3, channels=(8,), text_width=12, middle_attention=False)


@pytest.mark.parametrize(
    ("more", "said"), [({"heads": 5}, "heads must divide"), ({"layers": 0}, "layers must be at least 1, not 0")]
)
def test_an_encoder_that_cannot_be_is_refused(more, said):
    with pytest.raises(KakusanError, match=said):
        encoder(**more)
