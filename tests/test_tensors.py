"""Tensors go into a file and come out again, and a file that does not fit changes nothing."""

import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.tensors import load_weights, pack, read_tensors
from tests import tiny


def test_tensors_are_read_as_they_were_written(tmp_path):
    """Also those that share memory, lie across it, or have no dimension."""
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": base, "b": base.T, "c": base[0], "d": torch.tensor(3), "e": torch.ones(2, dtype=torch.bfloat16)}
    (tmp_path / "x.safetensors").write_bytes(pack(tensors))
    read = read_tensors(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in tensors.items())


def test_weights_of_the_same_architecture_fit(tmp_path):
    source, target = tiny.network(seed=0), tiny.network(seed=1)
    (tmp_path / "x.safetensors").write_bytes(pack(source.state_dict()))
    load_weights(target, tmp_path / "x.safetensors")
    assert all(torch.equal(source.state_dict()[name], tensor) for name, tensor in target.state_dict().items())


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (lambda weights: weights.pop("clock.bias"), r"network has clock\.bias, .*x\.safetensors does not"),
        (lambda weights: weights.update(extra=torch.ones(1)), r"x\.safetensors has extra, network does not"),
        (
            lambda weights: weights.update({"clock.bias": torch.ones(3)}),
            r"clock\.bias has shape \(3,\) there, \(8,\) in the network",
        ),
    ],
)
def test_weights_of_another_architecture_do_not_and_change_nothing(tmp_path, change, answer):
    network, weights = tiny.network(seed=1), tiny.network(seed=0).state_dict()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    change(weights)
    (tmp_path / "x.safetensors").write_bytes(pack(weights))
    with pytest.raises(
        KakusanError, match=rf"of another architecture: .*{answer} \(give the configuration, or the network, that"
    ):
        load_weights(network, tmp_path / "x.safetensors")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
