"""The demo replaces what it wrote itself, and nothing that is anybody else's."""

from pathlib import Path

import pytest

from kakusan import api
from kakusan.errors import KakusanError
from kakusan.runs import Run
from kakusan.studies.demo import demo


def test_a_run_of_somebody_else_is_refused(tmp_path):
    mine = Run.create(tmp_path / "mine")
    mine.write_config("precious")
    with pytest.raises(KakusanError, match="already holds files"):
        demo(mine.path, show=False)
    assert mine.config_path.read_text() == "precious"


@pytest.mark.parametrize(
    ("path", "overwrite", "replaces"), [("runs/demo", False, True), ("mine", True, True), ("mine", False, False)]
)
def test_only_its_own_place_gives_way_unasked(monkeypatch, path, overwrite, replaces):
    def train(preset, run, overwrite, show):
        assert (run, overwrite) == (Path(path), replaces)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "train", train)
    with pytest.raises(KeyboardInterrupt):
        demo(Path(path), overwrite)
