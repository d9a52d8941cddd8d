"""A model turns wishes into conditions."""

import pytest
import torch
from torch import nn

from kakusan import schedules
from kakusan.denoiser import Denoiser
from kakusan.model import Model
from kakusan.parametrization import V
from tests.oracles import Recorder


def model(*class_names, network=None):
    denoiser = Denoiser(network or Recorder(lambda x, clock: x), schedules.cosine(), V())
    return Model(denoiser, shape=(1, 8, 8), class_names=class_names)


PETS = model("cat", "dog", "7")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1, 0], [1, 0]),
        (["dog", "cat"], [1, 0]),
        (["1", "-1"], [1, -1]),
        (["7", 2], [2, 2]),  # a name that is a number is that name
        ([-1, "cat"], [-1, 0]),
        (torch.tensor([2, 1]), [2, 1]),
        ((), []),
    ],
)
def test_labels_are_numbers_or_names(labels, expected):
    condition = PETS.condition(labels, n=len(expected))
    assert condition.labels.tolist() == expected
    assert condition.labels.dtype == torch.int64


def test_without_labels_each_class_has_its_turn():
    assert PETS.condition(None, n=5).labels.tolist() == [0, 1, 2, 0, 1]


def test_a_model_without_classes_takes_no_labels():
    assert model().condition(None, n=3) is None
    with pytest.raises(ValueError, match=r"this model has no classes .*leave labels out"):
        model().condition([0], n=1)


@pytest.mark.parametrize("label", [3, -2, "3", "-2"])
def test_a_label_out_of_range_is_refused(label):
    with pytest.raises(ValueError, match=rf"between 0 and 2 .*, not {label} \(use one of these .* such as '7'\)$"):
        PETS.condition([label], n=1)


@pytest.mark.parametrize(
    ("label", "answer"), [("dgo", "did you mean 'dog'"), ("--1", "known are 7, cat, dog"), ("-", "7")]
)
def test_an_unknown_class_is_refused(label, answer):
    with pytest.raises(ValueError, match=f"unknown class '{label}': .*{answer}"):
        PETS.condition([label], n=1)


@pytest.mark.parametrize("labels", [[0], [0, 1, 2]])
def test_as_many_labels_as_images(labels):
    with pytest.raises(ValueError, match=f"2 images need 2 labels, not {len(labels)}"):
        PETS.condition(labels, n=2)


def test_it_is_where_its_network_is():
    assert model(network=nn.Linear(1, 1, device="meta")).device.type == "meta"
    assert model().device.type == "cpu"


def test_one_label_is_for_all_images():
    model = Model(None, (1, 8, 8), ("cat", "dog"))
    assert model.condition("dog", 3).labels.tolist() == [1, 1, 1]
    assert model.condition(0, 2).labels.tolist() == [0, 0]
