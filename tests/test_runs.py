"""A run directory describes itself, and what is not one is told apart."""

import json

import pytest

from kakusan.errors import KakusanError
from kakusan.files import claimed
from kakusan.results import judgements_in
from kakusan.runs import Run


@pytest.fixture
def there(tmp_path):
    return Run.create(tmp_path / "runs" / "pets")


def saved(there, *images):
    for count in images:
        (there.path / "checkpoints" / f"{count:07d}").mkdir(parents=True)


def test_it_is_made_and_opened_again(there):
    there.write_config("data: {source: digits}\n")
    assert Run.open(str(there.path)) == there
    assert there.name == "pets"
    assert there.config_path.read_text() == "data: {source: digits}\n"


def test_it_has_a_name_wherever_one_stands(there, monkeypatch):
    monkeypatch.chdir(there.path)
    assert Run.create(".").name == "pets"


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(KakusanError, match=r"there is no run directory .*nowhere \(train one: "):
        Run.open(tmp_path / "nowhere")


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(KakusanError, match=r"is not a run directory: it holds no config\.yaml"):
        Run.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(KakusanError, match="is not a run directory"):
        Run.open(tmp_path / "file")


def test_files_are_in_the_way_of_a_new_run(there):
    (there.path / "mine.txt").touch()
    with pytest.raises(KakusanError, match="already holds files"):
        Run.create(there.path)


def test_overwriting_takes_an_earlier_runs_files_and_no_others(there):
    for name in ("config.yaml", "metrics.jsonl", "metrics.json", "report.html", "log.txt", "mine.txt"):
        (there.path / name).write_text("old")
    for name in ("checkpoints/0000010", "samples", "photos"):
        (there.path / name).mkdir(parents=True)
        (there.path / name / "file").write_text("old")
    run = Run.create(there.path, overwrite=True)
    assert (run.checkpoints(), run.metrics(), run.config_path.exists()) == ([], [], False)
    run.settle()
    assert {path.name for path in there.path.iterdir()} == {"mine.txt", "photos"}
    assert (there.path / "photos" / "file").read_text() == "old"


def content(there):
    return {path.relative_to(there.path): path.read_text() for path in there.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_undone_leaves_an_earlier_run_as_it_was(there, killed):
    """Also where a run was killed before its first checkpoint, and the next one has to clear up."""
    saved(there, 10)
    there.write_config("old")
    there.record({"step": 10})
    (there.path / "mine.txt").write_text("mine")
    before = content(there)
    for _ in range(1 + killed):
        run = Run.create(there.path, overwrite=True)
        run.write_config("new")
        run.log("training")
    run.undo()
    assert content(there) == before
    assert there.checkpoint().images == 10


def test_of_a_new_run_that_is_undone_nothing_is_left(there):
    there.write_config("new")
    (there.path / "checkpoints").mkdir()
    there.undo()
    assert not there.path.exists()


def test_checkpoints_are_in_the_order_of_their_images(there):
    saved(there, 500, 12_000_000, 7)
    assert [checkpoint.images for checkpoint in there.checkpoints()] == [7, 500, 12_000_000]
    assert there.checkpoint().images == 12_000_000
    assert there.checkpoint(500).path == there.path / "checkpoints" / "0000500"


def test_a_checkpoint_that_is_not_there_is_refused_naming_those_that_are(there):
    with pytest.raises(KakusanError, match=r"holds no checkpoint yet \(start again: "):
        there.checkpoint()
    with claimed(there.path), pytest.raises(KakusanError, match=r"no checkpoint yet \(its training goes on: wait for"):
        there.checkpoint()
    saved(there, 500, 7)
    with pytest.raises(KakusanError, match=r"holds no checkpoint at 8 images \(there are 7, 500\)"):
        there.checkpoint(8)


def test_lines_are_read_as_they_were_written(there):
    assert there.metrics() == []
    lines = [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "name": "拡散"}]
    for line in lines:
        there.record(line)
    assert there.metrics() == lines
    assert [json.loads(line) for line in there.metrics_path.read_text().splitlines()] == lines


def test_a_line_cut_short_by_a_crash_is_left_out(there):
    there.record({"step": 1})
    with there.metrics_path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert there.metrics() == [{"step": 1}]
    there.record({"step": 2})
    assert there.metrics() == [{"step": 1}, {"step": 2}], "and the next line begins on a line of its own"
    there.forget_after(5)
    assert len(there.metrics_path.read_text().splitlines()) == 2


def test_a_line_that_is_no_object_is_left_out(there):
    there.metrics_path.write_text('{"step": 1}\n3\n[]\nnull\n{"evaluation": {"frechet_distance": null}}\n')
    assert there.metrics() == [{"step": 1}, {"evaluation": {"frechet_distance": None}}]
    assert judgements_in(there.metrics()) == []


def test_what_else_is_damaged_is_left_out_and_forgotten(there):
    there.record({"step": 1})
    with there.metrics_path.open("ab") as file:
        file.write(b'\xff\xfe\x00\n{"step": null}\n')
    assert there.metrics() == [{"step": 1}, {"step": None}]
    there.forget_after(1)
    assert there.metrics() == [{"step": 1}]


@pytest.mark.parametrize("content", ["{}", "[]", '{"step": 3}', "no"])
def test_a_checkpoint_that_does_not_say_where_it_stands_is_told_of(there, content):
    (there.path / "checkpoints" / "0000008").mkdir(parents=True)
    (there.path / "checkpoints" / "0000008" / "state.json").write_text(content)
    with pytest.raises(KakusanError, match=r"has no readable state\.json"):
        there.checkpoint().state()


def test_what_comes_after_a_step_is_forgotten(there):
    lines = [{"step": 1}, {"step": 2, "epoch": 1}, {"step": 2}, {"evaluation": True}, {"step": 3}]
    for line in lines:
        there.record(line)
    there.forget_after(2)
    assert there.metrics() == lines[:4]


def test_the_log_has_a_date_a_line(there):
    there.log("training starts")
    there.log("training ends")
    lines = (there.path / "log.txt").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["training starts", "training ends"]
    assert all(line.startswith("20") for line in lines)


def test_what_a_killed_process_left_is_swept_and_nothing_else(there):
    left = [".0123abcd-config.yaml", "checkpoints/.0123abcd-0000010", "samples/.0123abcd-0000010.png"]
    kept = [".notes-mine", ".earlier", "checkpoints/0000005", "samples/0000005.png"]
    for name in left + kept:
        (there.path / name / "file").parent.mkdir(parents=True)
    there.sweep()
    assert not any((there.path / name).exists() for name in left)
    assert all((there.path / name).exists() for name in kept)


def test_a_checkpoint_of_a_later_version_is_refused(there):
    path = there.path / "checkpoints" / "0000005"
    path.mkdir(parents=True)
    (path / "state.json").write_text('{"format": 3, "version": "9.1", "step": 1}')
    with pytest.raises(
        KakusanError, match=r"is of format 3, written by kakusan 9\.1, and this one reads up to 2: install"
    ):
        there.checkpoint().state()
