"""Features on the disk."""

import pytest
import torch

from kakusan.seeing.store import Store

LAYERS = {"a": 3, "b": 1}


def some(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {layer: torch.randn(count, size, generator=generator) for layer, size in LAYERS.items()}


def test_what_was_added_is_there(tmp_path):
    store, parts = Store(tmp_path / "store", 7, LAYERS), [some(4), some(3, 1)]
    for part in parts:
        assert not store.whole
        store.add(part)
    assert store.whole
    for layer in LAYERS:
        torch.testing.assert_close(store[layer], torch.cat([part[layer] for part in parts]), rtol=0, atol=0)


def test_it_goes_on_where_it_stopped(tmp_path):
    parts = [some(4), some(3, 1)]
    Store(tmp_path, 7, LAYERS).add(parts[0])
    again = Store(tmp_path, 7, LAYERS)
    assert again.done == 4
    again.add(parts[1])
    torch.testing.assert_close(again["a"], torch.cat([part["a"] for part in parts]), rtol=0, atol=0)


def test_what_came_after_the_last_whole_part_counts_for_nothing(tmp_path):
    """A process may end when one layer has been written and the other has not."""
    store = Store(tmp_path, 7, LAYERS)
    store.add(some(4))
    with (tmp_path / "a.float32").open("ab") as file:
        file.write(b"half a part")
    again = Store(tmp_path, 7, LAYERS)
    assert again.done == 4
    again.add(some(3, 1))
    torch.testing.assert_close(again["a"][4:], some(3, 1)["a"], rtol=0, atol=0)


@pytest.mark.parametrize("spoil", ["cut", "missing", "state", "layers", "fewer"])
def test_what_is_not_whole_begins_anew(tmp_path, spoil):
    Store(tmp_path, 4, LAYERS).add(some(4))
    n, layers = 4, LAYERS
    match spoil:
        case "cut":
            (tmp_path / "b.float32").write_bytes(b"1234")
        case "missing":
            (tmp_path / "b.float32").unlink()
        case "state":
            (tmp_path / "done.json").write_text("{")
        case "layers":
            layers = {"a": 4, "b": 1}
        case "fewer":
            n = 3
    assert Store(tmp_path, n, layers).done == 0


def test_it_can_be_removed(tmp_path):
    store = Store(tmp_path / "store", 1, LAYERS)
    store.add(some(1))
    store.remove()
    assert not (tmp_path / "store").exists()
