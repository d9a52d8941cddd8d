"""A network may start from what another run has learned."""

import pytest
import torch

import kakusan
from kakusan.errors import KakusanError
from kakusan.runs import Run
from kakusan.tensors import read_tensors
from kakusan.training.initial import start_from
from tests import tiny

TINY = {"network.channels": (8, 16), "network.attention_resolutions": (), "schedule.steps": 20, "sampling.steps": 2}


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    there = tiny.run(tmp_path_factory.mktemp("before") / "first")
    there.write_config("")
    tiny.engine().train(there)
    return there


def weights(there):
    return read_tensors(there.checkpoint().weights_path("ema"))


def test_all_fits_into_the_same_architecture(before):
    network = tiny.network(seed=5)
    sentence = start_from(network, str(before.path))
    assert sentence == "starts from the averaged weights of first after 60 images: 7 of 7 fit"
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in weights(before).items())


def test_what_does_not_fit_is_listed_and_stays_as_it_was(before):
    network = tiny.network(classes=7)
    network.extra, network.clock = torch.nn.Linear(2, 2), None
    own = network.labels.weight.detach().clone()
    sentence = start_from(network, str(before.path))
    assert sentence.endswith(
        "4 of 7 fit; drawn anew: extra.bias (2,); extra.weight (2, 2); labels.weight (8, 8), there (4, 8); "
        "not used: clock.bias; clock.weight"
    )
    assert torch.equal(network.labels.weight, own)
    assert torch.equal(network.input.weight, weights(before)["input.weight"])


def test_where_nothing_fits_it_is_refused(before):
    with pytest.raises(
        KakusanError, match=r"^network\.init: none of the 7 weights of .* fits this network \(give a run"
    ):
        start_from(torch.nn.Conv1d(1, 1, 1), str(before.path))


def test_a_run_begins_there_and_its_configuration_finds_it_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"steps": 1, "batch_size": 4, "device": "cpu", "show": False}
    first = kakusan.train("digits", run="first", overrides=TINY, **given)
    # A step of no length shows the beginning.
    still = {"network.init": "first", "optimizer.learning_rate": 1e-30}
    second = kakusan.train("digits", run="second", overrides=TINY | still, seed=3, **given)
    for name, tensor in weights(first).items():
        torch.testing.assert_close(weights(second)[name], tensor)
    assert "starts from the averaged weights of first after 4 images" in (second.path / "log.txt").read_text()
    assert f"init: {tmp_path / 'first'}" in second.config_path.read_text()
    monkeypatch.chdir("/")
    assert kakusan.train(resume=tmp_path / "second", steps=2, show=False) == Run.open(tmp_path / "second")


def test_a_run_that_is_not_there_is_told_before_anything_is_written(tmp_path):
    with pytest.raises(KakusanError, match="there is no run directory"):
        kakusan.train("digits", run=tmp_path / "run", overrides=TINY | {"network.init": "nowhere"}, show=False)
    assert list(tmp_path.iterdir()) == []
