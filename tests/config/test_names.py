"""Names are answered without torch, and every one of them leads somewhere."""

import subprocess
import sys
from inspect import signature

import pytest

from kakusan.config import names
from kakusan.errors import KakusanError

LIGHT = """
import sys
import kakusan.config, kakusan.config.names
assert not {"torch", "numpy"} & set(sys.modules)
"""


def test_importing_the_room_loads_neither_torch_nor_numpy():
    run = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "target",
    [
        it
        for table in (names.SAMPLERS, names.GRIDS, names.SOURCES, names.FORMATS, names.STUDIES)
        for it in table.values()
    ],
    ids=lambda target: target.path,
)
def test_every_target_can_be_loaded_and_is_described_in_one_line(target):
    assert callable(names.load(target))
    assert target.description
    assert "\n" not in target.description


@pytest.mark.parametrize("name", names.SAMPLERS)
def test_the_table_says_what_a_sampler_takes(name):
    sampler = names.SAMPLERS[name]
    takes = signature(names.load(sampler)).parameters.keys()
    assert set(sampler.takes) == takes - {"denoise", "x", "times", "noise"}
    assert {option for option, takers in names.TAKERS.items() if name in takers} == set(sampler.takes)
    assert sampler.default_grid in names.GRIDS


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(
        KakusanError, match=r"^unknown sampler 'dimm': did you mean 'ddim'\? known are ddim, ddpm, heun$"
    ):
        names.lookup("sampler", "dimm")
    assert names.lookup("grid", "karras") is names.GRIDS["karras"]


def test_presets_are_the_files_and_their_first_comments():
    presets = names.presets()
    assert "digits" in presets
    for name, description in presets.items():
        assert names.preset_text(name).startswith(f"# {description}\n")


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(KakusanError, match="unknown preset 'digitz': did you mean 'digits'"):
        names.preset_text("digitz")
