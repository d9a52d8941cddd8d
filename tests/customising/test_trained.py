"""A few weights of a model under their own names: a copy of them wears the same model."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from kakusan.customising import Trained


@pytest.fixture
def whole():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model


def test_only_what_learns_is_its_own(whole):
    trained = Trained(whole)
    assert dict(trained.named_parameters()).keys() == {"2.weight", "2.bias"}
    assert trained.get_parameter("2.weight") is whole[2].weight
    assert trained.state_dict().keys() == {"2.weight", "2.bias"}


def test_it_answers_as_the_model_does(whole):
    x = torch.randn(5, 3)
    assert torch.equal(Trained(whole)(x), whole(x))


def test_a_copy_wears_the_model_while_it_is_called(whole):
    trained, x = Trained(whole), torch.randn(5, 3)
    copied, before = deepcopy(trained), whole(x)
    with torch.no_grad():
        copied.get_parameter("2.bias").add_(1)
    torch.testing.assert_close(copied(x), before + 1)
    assert torch.equal(whole(x), before)
    with copied.worn() as worn:
        assert worn is whole
        torch.testing.assert_close(whole(x), before + 1)
    assert torch.equal(trained(x), before)


def test_a_copy_has_the_weights_that_learn_and_no_more(whole):
    copied = deepcopy(Trained(whole))
    assert sum(it.numel() for it in copied.parameters()) == 10
    assert copied._whole[0] is whole


def test_the_model_gets_its_own_weights_back_after_an_error(whole):
    copied, before = deepcopy(Trained(whole)), whole[2].bias.clone()
    with torch.no_grad():
        copied.get_parameter("2.bias").add_(1)
    with pytest.raises(RuntimeError):
        copied(torch.randn(5, 7))
    assert torch.equal(whole[2].bias, before)


def test_the_gradient_reaches_what_learns(whole):
    trained = Trained(whole)
    trained(torch.randn(5, 3)).sum().backward()
    assert whole[2].weight.grad is not None
    assert whole[0].weight.grad is None
