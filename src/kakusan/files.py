"""Files that appear whole or not at all, and directories that are never written into unasked, nor by two at a time."""

import errno
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from itertools import count
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile

from kakusan.errors import KakusanError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def sha256_of(paths: Iterable[Path]) -> str:
    """Returns the SHA-256 of what files hold, one after the other, none of which is read whole."""
    digest = sha256()
    for path in paths:
        with path.open("rb") as file:
            file_digest(file, lambda: digest)
    return digest.hexdigest()


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turns what the operating system refuses while ``path`` is written into one sentence.

    Raises:
        KakusanError: An ``OSError`` left the block: a full or read-only disk, a file where a directory should be.
    """
    try:
        yield
    except OSError as error:
        mend = "free some space or choose another place" if error.errno == errno.ENOSPC else "choose another place"
        raise KakusanError(f"cannot write {path}: {error.strerror or error} ({mend})") from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``, which takes its place when the block succeeds and is gone when it fails.

    So a reader finds the old file or the new one, never half of one. What is written there may be a file, or a
    directory that does not exist yet. Missing parent directories are made.

    Args:
        path: Where the file shall be.

    Yields:
        A hidden path in the same directory, with the same suffix.

    Raises:
        KakusanError: ``path`` is a device or a pipe, which would be replaced; an ``OSError`` left the block, or the
            disk refused the file at its end.
    """
    path = Path(path)
    temporary = path.with_name(f".{token_hex(4)}-{path.name}")
    with writing(path):
        if not path.is_dir():
            _refuse_what_is_there(path, overwrite=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(path)
        finally:
            _remove(temporary)


def atomic_write(path: str | Path, content: bytes | str) -> None:
    """Writes ``content``, text as UTF-8, to ``path`` whole or not at all.

    Raises:
        KakusanError: The disk refuses it.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def require_free_file(path: str | Path, overwrite: bool = False) -> None:
    """Refuses what cannot become a new file, and makes nothing: so it can be asked before work begins.

    Args:
        path: The file.
        overwrite: Accepts one that is there.

    Raises:
        KakusanError: The file is there and ``overwrite`` is false; it is none: a directory, a device, a pipe; or it
            cannot be written where it shall be.
    """
    path = Path(path)
    _refuse_what_is_there(path, overwrite)
    with writing(path):
        _refuse_unwritable(path.parent)


def sweep(directory: Path) -> None:
    """Removes what processes that were killed left in a directory on its way to a name of its own."""
    with writing(directory):
        for path in directory.glob(".*-*"):
            if re.fullmatch(r"\.[0-9a-f]{8}-.+", path.name):
                _remove(path)


def remove_whole(path: Path) -> None:
    """Removes a directory so that nobody sees half of it: if the process is killed, :func:`sweep` removes the rest."""
    with suppress(OSError):
        hidden = path.with_name(f".{token_hex(4)}-{path.name}")
        path.rename(hidden)
        shutil.rmtree(hidden)


def require_free(path: str | Path, overwrite: bool = False) -> None:
    """Refuses what cannot become a new directory, and makes nothing: so it can be asked before work begins.

    Args:
        path: The directory. It and its parents need not exist.
        overwrite: Accepts a directory that holds files.

    Raises:
        KakusanError: The directory holds files and ``overwrite`` is false, is a file, or cannot be made.
    """
    if not str(path):
        raise KakusanError("a directory needs a name, and none was given")
    path = Path(path)
    with writing(path):
        if path.is_file():
            raise KakusanError(f"{path} is a file, not a directory (choose another name)")
        if not overwrite and path.exists() and any(path.iterdir()):
            raise KakusanError(f"{path} already holds files (choose a new directory, or --overwrite to write into it)")
        _refuse_unwritable(path)


def require_new_directory(path: str | Path, overwrite: bool = False) -> Path:
    """Makes the directory ``path`` and returns it, or refuses as :func:`require_free` does.

    Nothing is deleted: files of the same name give way as new ones are written.
    """
    require_free(path, overwrite)
    path = Path(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


class Aside:
    """Files of a directory that are to give way to new ones: put aside until those are whole, or brought back.

    Args:
        place: Where they lie meanwhile, a hidden directory in theirs, which is there only as long as they are.
    """

    def __init__(self, place: Path) -> None:
        self.place = place

    def put(self, names: Iterable[str]) -> None:
        """Puts aside those of the ``names`` that are there: all, or none where it fails."""
        try:
            for path in map(self.place.parent.joinpath, names):
                if path.exists():
                    self.place.mkdir(exist_ok=True)
                    path.rename(self.place / path.name)
        except BaseException:
            self.bring_back()
            raise

    def bring_back(self) -> None:
        """Brings all of them back, in the place of what has their names now."""
        if self.place.exists():
            for path in self.place.iterdir():
                _remove(self.place.parent / path.name)
                path.rename(self.place.parent / path.name)
            self.place.rmdir()

    def forget(self) -> None:
        """Removes them, at once: half of them would be brought back over what took their place."""
        remove_whole(self.place)
        shutil.rmtree(self.place, ignore_errors=True)  # where it could not be renamed


@contextmanager
def replacing(directory: Path, new: Collection[str], old: Collection[str] = ()) -> Iterator[None]:
    """Lets the block write files and directories into a directory, which is as it was, or not there, where the block
    fails.

    Args:
        directory: It and its parents need not exist.
        new: Names of all that the block may write; what has such a name gives way to it.
        old: Names of others that give way.

    Raises:
        KakusanError: The disk refuses it.
    """
    made = [place for place in (directory, *directory.parents) if not place.exists()]
    aside = Aside(directory / ".replaced")
    if directory.exists():
        sweep(directory)
    with writing(directory):
        aside.bring_back()  # what an earlier call left that was killed
        aside.put({*new, *old})
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for name in new:
                _remove(directory / name)
            aside.bring_back()
            for place in made:
                place.rmdir()
        raise
    aside.forget()


@contextmanager
def claimed(directory: str | Path) -> Iterator[None]:
    """Makes a directory, if need be, and holds it for one writer while the block runs.

    The claim is a lock of the operating system on the directory itself, so it leaves no file behind and ends with its
    process, however that ends. Where a system has no such locks, or none beyond one machine, nobody is kept out.

    Raises:
        KakusanError: Another holds it, or it cannot be made.
    """
    with writing(directory):
        Path(directory).mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    with writing(directory):
        handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise KakusanError(
                f"another process is writing into {directory} (wait until it has ended, or choose another directory)"
            ) from error
        except OSError:  # this file system has no locks
            pass
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing alone would not, where a forked process has it too
        os.close(handle)


def is_claimed(directory: str | Path) -> bool:
    """Whether another process, or this one, is writing into a directory, as far as a lock of the system can tell."""
    try:
        with claimed(directory):
            return False
    except KakusanError:
        return True


def at_home(path: str | Path) -> Path:
    """Returns a path whose ``~`` is the home it stands for, where there is one; else as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody is called so
        return Path(path)


def require_suffix(path: Path, suffix: str) -> None:
    """Refuses a file that would not be what its name says.

    Raises:
        KakusanError: It ends in another suffix.
    """
    if path.suffix.lower() != suffix:
        raise KakusanError(f"{path} does not end in {suffix}, which is what is written (-o {path.stem}{suffix})")


def free_path(path: str | Path) -> Path:
    """Returns ``path`` where nothing is there yet, else the first of ``path-2``, ``path-3``, … where nothing is."""
    path = Path(path)
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return path if not path.exists() else next(other for other in numbered if not other.exists())


def _refuse_what_is_there(path: Path, overwrite: bool) -> None:
    """Raises where a file cannot take the place of what is there."""
    if not path.exists():
        return
    if not path.is_file():
        kind = "a directory" if path.is_dir() else "a device or a pipe"
        raise KakusanError(f"{path} is {kind}, not a file (choose another name)")
    if not overwrite:
        raise KakusanError(f"{path} is there already (choose another name, or --overwrite to replace it)")


def _refuse_unwritable(directory: Path) -> None:
    """Raises the operating system's own reason where nothing can be written into a directory, there or yet to be."""
    nearest = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    with TemporaryFile(dir=nearest):
        pass


def _flush(path: Path) -> None:
    """Brings a file, or the files of a directory, onto the disk: a rename may outrun the content it names."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
