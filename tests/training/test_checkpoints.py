"""A checkpoint is there whole or not at all, holds no code, and gives back what was saved."""

import errno
import json
import os
import shutil
from importlib.metadata import version

import pytest
import torch
from torch.optim import AdamW

from kakusan import files
from kakusan.errors import KakusanError
from kakusan.runs import FORMAT
from kakusan.training import checkpoints
from tests import tiny
from tests.tiny import assert_same, engine, run


def moment(seed=0, width=8):
    """A network, its average and an optimizer, after one step."""
    torch.manual_seed(seed)
    network, average = tiny.TinyNetwork(width=width), tiny.TinyNetwork(width=width)
    optimizer = AdamW(network.parameters(), lr=0.1)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return {"network": network, "average": average, "optimizer": optimizer}


def save(there, images=5, keep=9, **parts):
    return checkpoints.save(there, **(parts or moment()), state={"images": images, "step": 1}, keep=keep)


@pytest.fixture
def there(tmp_path):
    return run(tmp_path / "run")


def test_what_is_saved_is_restored(there):
    saved, other = moment(seed=0), moment(seed=1)
    checkpoint = save(there, **saved)
    state = checkpoints.restore(checkpoint, **other)
    assert state == checkpoint.state()
    assert {name: value for name, value in state.items() if name != "crc32"} == {"images": 5, "step": 1}
    for part in ("network", "average"):
        for name, tensor in saved[part].state_dict().items():
            assert torch.equal(tensor, other[part].state_dict()[name])
    for mine, theirs in zip(saved["network"].parameters(), other["network"].parameters(), strict=True):
        for name, tensor in saved["optimizer"].state[mine].items():
            assert torch.equal(tensor, other["optimizer"].state[theirs][name])


def test_an_optimizer_that_has_not_moved_is_restored_as_one(there):
    still = {**moment(), "optimizer": AdamW(tiny.TinyNetwork().parameters())}
    other = moment(seed=1)
    checkpoints.restore(save(there, **still), **other)
    assert not other["optimizer"].state


def test_nothing_in_it_can_run_code(there):
    names = {path.name for path in save(there).path.iterdir()}
    assert names == {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"}
    for path in save(there).path.glob("*.safetensors"):
        assert path.read_bytes()[8:9] == b"{"  # a length of 8 bytes, then JSON: no pickle, no archive


def test_a_disk_that_fills_up_leaves_the_earlier_ones_and_no_trace(there, monkeypatch):
    save(there, images=5)
    before = sorted(there.path.rglob("*"))
    written = []

    def write_bytes(self, content, real=files.Path.write_bytes):
        written.append(self)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, content)

    monkeypatch.setattr(files.Path, "write_bytes", write_bytes)
    with pytest.raises(
        KakusanError, match=r"^cannot write .*/checkpoints/0000010: No space left on device \(free some space"
    ) as caught:
        save(there, images=10, keep=1)
    assert "\n" not in str(caught.value)
    assert sorted(there.path.rglob("*")) == before
    assert there.checkpoint().images == 5


def test_a_full_disk_ends_training_with_the_sentence(there, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    engine(steps=3).train(there)
    monkeypatch.setattr(files, "_flush", refuse)
    more = engine()
    monkeypatch.setattr(there.__class__, "forget_after", lambda *_: None)
    more.resume(there)
    with pytest.raises(KakusanError, match="No space left on device"):
        more.train(there)
    monkeypatch.undo()
    assert [checkpoint.images for checkpoint in there.checkpoints()] == [15]
    assert {path.name for path in (there.path / "checkpoints").iterdir()} == {"0000015"}


def test_it_says_who_wrote_it(there):
    engine(steps=1).train(there)
    state = there.checkpoint().state()
    assert state["format"] == FORMAT
    assert state["version"] == version("kakusan")


def test_one_of_the_first_format_is_gone_on_with(there):
    """It was of a training that stopped at the first step that was no number, so none was skipped."""
    engine(steps=3).train(there)
    path = there.checkpoint().path / "state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({name: state[name] for name in state if name not in ("format", "version", "guard")}))
    later = engine(steps=4)
    later.resume(there)
    later.train(there)
    assert there.checkpoint().state()["step"] == 4


def test_only_the_latest_are_kept(there):
    for images in (5, 10, 100, 15):
        save(there, images=images, keep=2)
    assert [checkpoint.images for checkpoint in there.checkpoints()] == [15, 100]


def test_a_half_written_directory_is_no_checkpoint(there):
    save(there, images=5)
    (there.path / "checkpoints" / ".abcd-0000010").mkdir()
    (there.path / "checkpoints" / "notes").mkdir()
    (there.path / "checkpoints" / "0000015").touch()
    assert [checkpoint.images for checkpoint in there.checkpoints()] == [5]


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_file_cut_short_is_named(there, name, size):
    path = save(there).path / name
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(KakusanError, match=rf"{name} is damaged or cut short \(choose another checkpoint") as caught:
        checkpoints.restore(there.checkpoint(), **moment())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "optimizer.safetensors"])
def test_a_bit_that_is_another_is_found(there, name):
    """A tired disk says nothing, and training would go on from other weights."""
    path = save(there).path / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(KakusanError, match=rf"{name} is damaged .*: its bytes are not those that were written"):
        checkpoints.restore(there.checkpoint(), **moment())


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"])
def test_a_missing_file_is_named(there, name):
    (save(there).path / name).unlink()
    with pytest.raises(KakusanError, match=rf"{name}"):
        checkpoints.restore(there.checkpoint(), **moment())


@pytest.mark.parametrize("content", ["", "{", "[3]", "3"])
def test_a_damaged_state_is_told(there, content):
    (save(there).path / "state.json").write_text(content)
    with pytest.raises(KakusanError, match=r"has no readable state\.json"):
        there.checkpoint().state()


def test_the_moments_of_another_network_are_told(there):
    path = save(there).path / "optimizer.safetensors"
    other = moment()
    other["optimizer"] = AdamW([torch.nn.Parameter(torch.ones(2))])
    other["optimizer"].param_groups[0]["params"][0].grad = torch.ones(2)
    other["optimizer"].step()
    shutil.copy(save(there, images=10, **other).path / "optimizer.safetensors", path)
    (path.parent / "state.json").write_text('{"images": 5, "step": 1}')  # of a time before there were checksums
    with pytest.raises(KakusanError, match=r"optimizer has a weight of shape \(2,\), where the network has one"):
        checkpoints.restore(there.checkpoints()[0], **moment())


def test_another_architecture_is_refused(there):
    save(there)
    with pytest.raises(
        KakusanError, match=r"of another architecture: .* has shape \(8,\) there, \(16,\) in the network"
    ):
        checkpoints.restore(there.checkpoint(), **moment(width=16))


def test_the_same_moment_is_saved_once(there):
    """A run that is resumed and stopped at once is where it was."""
    engine(steps=3).train(there)
    before = run(there.path.parent / "copy")
    shutil.copytree(there.path / "checkpoints", before.path / "checkpoints")
    again = engine(steps=3)
    again.resume(there)
    again.train(there)
    assert_same(before, there)
