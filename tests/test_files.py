"""A file is there whole or not at all, and what the disk refuses is told in one sentence."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from kakusan.errors import KakusanError
from kakusan.files import (
    atomic_path,
    atomic_write,
    claimed,
    free_path,
    replacing,
    require_free,
    require_free_file,
    require_new_directory,
    sha256_of,
    writing,
)


def test_the_hash_of_files_is_that_of_what_they_hold_one_after_the_other(tmp_path):
    parts = [b"a" * 3_000_000, b"", b"b"]
    for place, content in enumerate(parts):
        (tmp_path / str(place)).write_bytes(content)
    assert sha256_of(sorted(tmp_path.iterdir())) == sha256(b"".join(parts)).hexdigest()


@contextmanager
def a_disk_that_holds(limit):
    """Lets files grow to ``limit`` bytes, after which writing fails as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("content", ["拡散\n", b"\x00\xff", ""])
def test_what_is_written_is_read(tmp_path, content):
    path = tmp_path / "deep" / "down" / "file.txt"
    atomic_write(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(path.parent.iterdir()) == [path]


def test_until_the_end_a_reader_finds_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    atomic_write(path, "old")
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_trace(tmp_path, failure):
    path = tmp_path / "file.txt"
    atomic_write(path, "old")

    def fail_halfway():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_leaves_the_old_file_and_no_trace(tmp_path):
    path = tmp_path / "file.bin"
    atomic_write(path, "old")
    with a_disk_that_holds(1000), pytest.raises(KakusanError, match=r"cannot write .*file\.bin: File too large"):
        atomic_write(path, bytes(100_000))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "checkpoint"

    def make(content):
        with atomic_path(path) as temporary:
            temporary.mkdir()
            (temporary / "weights").write_text(content)

    with pytest.raises(TypeError):
        make(None)
    assert list(tmp_path.iterdir()) == []
    make("whole")
    assert (path / "weights").read_text() == "whole"


def test_content_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    """Else a power cut leaves the new name on an empty file."""
    path, flushed = tmp_path / "file.txt", []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append((os.fstat(descriptor).st_size, path.exists())))
    atomic_write(path, "text")
    assert flushed == [(4, False)]


@pytest.mark.parametrize(
    ("number", "mend"),
    [(errno.ENOSPC, "free some space or choose another place"), (errno.EROFS, "choose another place")],
)
def test_the_sentence_names_path_reason_and_mend(number, mend):
    with pytest.raises(KakusanError) as caught, writing("runs/a.png"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"cannot write runs/a.png: {os.strerror(number)} ({mend})"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/null", path)])
def test_a_device_or_a_pipe_is_never_replaced(tmp_path, make):
    """By root it could be: /dev/null would be a file from then on."""
    path = tmp_path / "there"
    make(path)
    before = path.lstat().st_ino
    for call in (lambda: atomic_write(path, "text"), lambda: require_free_file(path, overwrite=True)):
        with pytest.raises(KakusanError, match=r"there is a device or a pipe, not a file \(choose another name"):
            call()
    assert path.lstat().st_ino == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_asked_about_without_being_made(tmp_path):
    require_free_file(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").write_text("precious")
    require_free_file(tmp_path / "a", overwrite=True)
    for path, overwrite, answer in (
        (tmp_path / "a", False, "or --overwrite"),
        (tmp_path, True, "is a directory, not a file"),
    ):
        with pytest.raises(KakusanError, match=answer):
            require_free_file(path, overwrite)
    assert (tmp_path / "a").read_text() == "precious"
    for below in (tmp_path / "a" / "b", tmp_path / "a" / "deep" / "b"):
        with pytest.raises(KakusanError, match=r"cannot write .*b: Not a directory \(choose another place"):
            require_free_file(below)


def test_a_file_where_a_directory_should_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(KakusanError, match=r"cannot write .*below: "):
        atomic_write(tmp_path / "file" / "below", "text")
    with pytest.raises(KakusanError, match="is a file, not a directory"):
        require_new_directory(tmp_path / "file")
    with pytest.raises(KakusanError, match="Not a directory"):
        require_new_directory(tmp_path / "file" / "below")


def test_a_new_or_empty_directory_is_made(tmp_path):
    for _ in range(2):
        assert require_new_directory(tmp_path / "a" / "b").is_dir()


def test_a_directory_that_holds_files_is_refused_unless_asked(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(KakusanError, match=r"already holds files .*--overwrite"):
        require_new_directory(tmp_path)
    assert require_new_directory(str(tmp_path), overwrite=True) == tmp_path
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_directory_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    """For the operating system's own reason: as root every mode is writable, but no disk that is read-only."""

    def refuse(**where):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("kakusan.files.TemporaryFile", refuse)
    with pytest.raises(KakusanError, match=r"cannot write .*: Read-only file system"):
        require_new_directory(tmp_path)


def test_a_directory_is_asked_about_without_being_made(tmp_path):
    require_free(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine.txt").touch()
    require_free(tmp_path, overwrite=True)
    for path, answer in ((tmp_path, "already holds files"), (tmp_path / "mine.txt" / "below", "Not a directory")):
        with pytest.raises(KakusanError, match=answer):
            require_free(path)


def content(directory):
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def replace(directory, fail=False):
    with replacing(directory, new=["a", "b"], old=["old", "missing"]):
        atomic_write(directory / "a", "new")
        if fail:
            raise KeyboardInterrupt
        atomic_write(directory / "b", "new")


def test_files_of_a_directory_give_way_once_the_new_ones_are_whole(tmp_path):
    for name in ("a", "old", "mine"):
        (tmp_path / name).write_text("old")
    before = content(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path, fail=True)
    assert content(tmp_path) == before
    replace(tmp_path)
    assert content(tmp_path) == {"a": "new", "b": "new", "mine": "old"}
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_what_cannot_be_put_aside_stays_where_it_is(tmp_path, monkeypatch):
    for name in ("a", "old"):
        (tmp_path / name).write_text("old")
    rename = Path.rename

    def refuse(path, target):
        if path.name == "old":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(KakusanError, match=r"cannot write .*: Permission denied"):
        replace(tmp_path)
    assert content(tmp_path) == {"a": "old", "old": "old"}


def test_a_directory_that_was_not_there_is_not_there_after_a_failure(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path / "c" / "d", fail=True)
    assert list(tmp_path.iterdir()) == []
    replace(tmp_path / "c" / "d")
    assert content(tmp_path) == {"c/d/a": "new", "c/d/b": "new"}


def test_what_a_killed_call_put_aside_is_brought_back(tmp_path):
    (tmp_path / "a").write_text("old")
    script = (
        "import os, sys, pathlib; from kakusan.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1]), ['a']): os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert not (tmp_path / "a").exists()
    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path, fail=True)
    assert content(tmp_path) == {"a": "old"}


def test_directories_give_way_as_files_do(tmp_path):
    def put(name, text):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "inside").write_text(text)

    def fail():
        with replacing(tmp_path, ["part", "more"]):
            put("part", "new")
            put("more", "new")
            raise KeyboardInterrupt

    put("part", "old")
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.read_text() for path in tmp_path.rglob("inside")] == ["old"]
    assert os.listdir(tmp_path) == ["part"]
    put(".replaced", "old")  # of a call that was killed after it had written this part
    (tmp_path / ".replaced" / "inside").rename(tmp_path / "aside")
    (tmp_path / ".replaced" / "part").mkdir()
    (tmp_path / "aside").rename(tmp_path / ".replaced" / "part" / "inside")
    put("part", "half")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path, ["part"]):
        raise KeyboardInterrupt
    assert (tmp_path / "part" / "inside").read_text() == "old"


def test_a_directory_has_one_writer_at_a_time_and_no_trace_of_it(tmp_path):
    path = tmp_path / "a" / "b"
    for _ in range(2):
        with claimed(path):
            with (
                pytest.raises(KakusanError, match=r"another process is writing into .*b \(wait until it has ended, or"),
                claimed(path),
            ):
                pytest.fail("two writers")
            with claimed(tmp_path / "a"), claimed(tmp_path / "c"):
                pass
            assert list(path.iterdir()) == []


def test_what_goes_wrong_ends_the_claim(tmp_path):
    with pytest.raises(OSError, match="of the block"), claimed(tmp_path):
        raise OSError("of the block")
    with claimed(tmp_path):
        pass


def test_a_writer_that_was_killed_claims_nothing_any_more(tmp_path):
    script = "import sys, time; from kakusan.files import claimed\nwith claimed(sys.argv[1]): print(), time.sleep(60)"
    with subprocess.Popen([sys.executable, "-uc", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        with pytest.raises(KakusanError, match="another process"), claimed(tmp_path):
            pass
        process.kill()
        process.wait()
    with claimed(tmp_path):
        pass


def test_a_writers_claim_is_not_inherited(tmp_path):
    """What it forked, workers of a data loader say, may outlive it."""
    with claimed(tmp_path):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        with claimed(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_free_path_is_the_name_itself_or_the_next_number(tmp_path):
    assert free_path(tmp_path / "run") == tmp_path / "run"
    (tmp_path / "run").mkdir()
    assert free_path(tmp_path / "run") == tmp_path / "run-2"
    (tmp_path / "run-2").touch()
    assert free_path(tmp_path / "run") == tmp_path / "run-3"
