"""Conditions: one entry an image, and a null among them."""

import pytest
import torch

from kakusan.condition import NULL_LABEL, Condition
from kakusan.errors import KakusanError

LABELS = torch.tensor([3, 0, 7, NULL_LABEL])


@pytest.fixture
def condition():
    return Condition(labels=LABELS)


def test_it_has_one_entry_an_image(condition):
    assert len(condition) == 4


@pytest.mark.parametrize("index", [slice(1, 3), torch.tensor([2, 2, 0]), torch.tensor([True, False, False, True])])
def test_it_is_indexed_like_its_images(condition, index):
    assert torch.equal(condition[index].labels, LABELS[index])


def test_null_asks_for_nothing(condition):
    null = condition.null()
    assert null.labels.tolist() == [-1] * 4
    assert null.labels.dtype == torch.int64


def test_dropped_conditions_are_null_and_the_others_stay(condition):
    dropped = condition.drop(torch.tensor([True, False, False, True]))
    assert dropped.labels.tolist() == [-1, 0, 7, -1]
    assert torch.equal(condition.labels, torch.tensor([3, 0, 7, -1])), "the original was changed"


def test_joining_undoes_cutting(condition):
    joined = Condition.cat([condition[:1], condition[1:]])
    assert torch.equal(joined.labels, LABELS)


def test_it_moves_between_devices(condition):
    moved = condition.to("meta")
    assert moved.labels.device.type == "meta"
    assert moved.null().labels.device.type == "meta"
    assert moved.drop(torch.ones(4, dtype=torch.bool)).labels.device.type == "meta"


def test_words_and_labels_go_together():
    both = Condition(LABELS, words=torch.arange(12).view(4, 3))
    assert both.null().words.tolist() == [[-1] * 3] * 4
    assert both.drop(torch.tensor([True, False, False, False])).words[:2].tolist() == [[-1] * 3, [3, 4, 5]]
    joined = Condition.cat([both, both.null()])
    assert (len(joined), joined.repeats) == (8, 2)
    assert torch.equal(joined[:4].words, both.words)


def test_tokens_have_no_null_of_their_own():
    tokens = Condition(tokens=torch.zeros(2, 3, 4))
    assert len(tokens[:1]) == 1
    with pytest.raises(KakusanError, match="tokens have no null of their own"):
        tokens.null()


@pytest.mark.parametrize("given", [{}, {"labels": LABELS, "words": torch.zeros(3, 2, dtype=torch.int64)}])
def test_a_condition_is_of_something_and_of_as_many_images(given):
    with pytest.raises(KakusanError, match="each of as many images"):
        Condition(**given)
