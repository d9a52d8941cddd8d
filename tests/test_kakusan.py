"""``import kakusan`` gives every name there is, and loads nothing heavy before one is used."""

import subprocess
import sys
from pathlib import Path

import pytest

import kakusan

ROOMS = sorted(
    path.stem
    for path in Path(kakusan.__file__).parent.iterdir()
    if path.stem[0] != "_" and (path.suffix == ".py" or (path / "__init__.py").exists())
)
EVERY_NAME = """
import sys, kakusan
assert not {"torch", "numpy", "pydantic"} & sys.modules.keys(), "something heavy was imported"
for name in sys.argv[1:]:
    assert getattr(kakusan, name).__name__ == f"kakusan.{name}", name
assert callable(kakusan.sample), "which is no room, though there is one of a name like it"
print(kakusan.interop.textbook.WholeSteps, kakusan.interop.diffusers.DiffusersNetwork)
"""


def test_every_room_is_there_once_kakusan_is_imported():
    subprocess.run([sys.executable, "-c", EVERY_NAME, *ROOMS], check=True)


def test_every_room_and_name_is_listed():
    assert {*ROOMS, *kakusan.__all__} <= set(dir(kakusan))
    assert all(getattr(kakusan, name) is not None for name in kakusan.__all__)


@pytest.mark.parametrize("name", ["nothing", "presets.digits", "__main__", "_flush"])
def test_what_is_not_there_is_no_attribute(name):
    with pytest.raises(AttributeError, match=f"module 'kakusan' has no attribute {name!r}"):
        getattr(kakusan, name)
