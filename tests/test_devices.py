"""A device is there or is refused, naming those that are; a module is where its weights are."""

import os
import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from kakusan.devices import device_of, memory, resolve, seed_device
from kakusan.errors import KakusanError


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine have so many GPUs of NVIDIA's, or one of Apple's."""

    def furnish(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return furnish


@pytest.mark.parametrize(
    ("there", "best"), [({}, "cpu"), ({"mps": True}, "mps"), ({"cuda": 2}, "cuda"), ({"cuda": 1, "mps": True}, "cuda")]
)
def test_auto_is_the_best_there_is(machine, there, best):
    machine(**there)
    assert resolve() == resolve("auto") == torch.device(best)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", torch.device("cuda:1")])
def test_what_is_there_is_given(machine, name):
    machine(cuda=2)
    assert resolve(name) == torch.device(name)


@pytest.mark.parametrize(
    ("there", "name", "answer"),
    [
        ({}, "cuda", "there is no device cuda here, only cpu "),
        ({}, "mps", "there is no device mps here, only cpu "),
        ({"cuda": 2}, "cuda:2", "there is no device cuda:2 here, only cpu, cuda × 2 "),
        ({"mps": True}, "cuda", "only cpu, mps "),
        ({}, "meta", "there is no device meta here"),
    ],
)
def test_what_is_not_there_is_refused(machine, there, name, answer):
    machine(**there)
    with pytest.raises(KakusanError, match=answer):
        resolve(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x"])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(KakusanError, match=rf"unknown device '{name}' \(use auto, cpu"):
        resolve(name)


def test_a_module_is_where_its_weights_are():
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
    assert device_of(nn.Sequential(nn.Identity(), nn.Linear(1, 1, device="meta"))) == torch.device("meta")
    assert device_of(nn.Identity()) == torch.device("cpu")


@pytest.mark.parametrize(("limit", "expected"), [("12345\n", 12345), ("max\n", None), (None, None)])
def test_memory_is_what_the_container_may_have(tmp_path, monkeypatch, limit, expected):
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr("kakusan.devices._CONTAINER", tmp_path / "memory.max")
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory() == (expected or whole)


FAULTS = """
import resource, sys
import torch
from kakusan.devices import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()

def take(n):
    torch.empty(n).fill_(1)  # and free it at once

for _ in range(30):  # until the pieces that are free have the size that is asked for
    take(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    take(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library is left alone")
def test_freed_memory_that_is_kept_is_not_waited_for_again():
    """Counted in pages that the system had to clear, of 4 KiB each or of more."""
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("given back", "kept")
    )
    assert kept < given_back / 10


def test_a_seeded_device_draws_what_torch_draws_of_that_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = torch.rand(3), torch.nn.functional.dropout(torch.ones(64))
        seed_device(5, torch.device("cpu"))
        assert torch.equal(torch.rand(3), expected[0])
        assert torch.equal(torch.nn.functional.dropout(torch.ones(64)), expected[1])


@pytest.mark.parametrize(("name", "seeded"), [("cpu", []), ("cuda:1", ["cuda"]), ("mps", ["mps"])])
def test_idle_devices_are_not_seeded(name, seeded, monkeypatch):
    told = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: told.append("cuda"))
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: told.append("mps"))
    with torch.random.fork_rng(devices=[]):
        seed_device(5, torch.device(name))
    assert told == seeded
