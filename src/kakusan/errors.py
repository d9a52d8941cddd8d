"""The one exception of this library: a sentence that a person reads.

It says what was given, what is allowed and what to do. The command line prints it on one line and exits with 2.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches


class KakusanError(ValueError):
    """The caller's mistake, told in one sentence: the value, the limit, the mend."""


def unknown(kind: str, name: str, known: Iterable[str]) -> KakusanError:
    """Returns the error for a ``name`` that is not among the ``known`` ones of its ``kind``, naming the nearest."""
    names = sorted(known)
    comparable = {plain(candidate): candidate for candidate in names}
    near = nearest(plain(name), comparable, cutoff=0.5)
    hint = f"did you mean {comparable[near]!r}? " if near is not None else ""
    return KakusanError(f"unknown {kind} {name!r}: {hint}known are {', '.join(names)}")


@contextmanager
def optional(who: str, extra: str) -> Iterator[None]:
    """Turns the import of an optional library that is not there into one sentence.

    Args:
        who: Who needs it.
        extra: With which of this package's extras it comes.

    Raises:
        KakusanError: An ``ImportError`` left the block.
    """
    try:
        yield
    except ImportError as error:
        library = (error.name or "a library").partition(".")[0].replace("_", "-")
        raise KakusanError(f"{who} needs {library}, which is not installed (pip install 'kakusan[{extra}]')") from error


def reason_of(error: BaseException) -> str:
    """Returns why something of another library failed, in one line: the first of what the error says, else what it is
    called."""
    return str(error).strip().partition("\n")[0].rstrip(":") or type(error).__name__


def reason_alone(error: Exception) -> str:
    """Returns as :func:`reason_of` why something failed, without the path that an error of the system names again."""
    return getattr(error, "strerror", None) or reason_of(error)


def nearest(name: str, known: Collection[str], cutoff: float) -> str | None:
    """Returns the ``known`` name that is most like ``name``; or None.

    One of whose words it has the initials goes before others, ``learning_rate`` for ``lr``; then one of the same
    letters in another order, and then one that begins with ``name``.

    Args:
        name: What was typed.
        known: What there is.
        cutoff: How like they must be, from 0, anything, to 1, the same.
    """
    if short := shortened(name, known):
        return short[0]
    near = get_close_matches(name, known, n=max(1, len(known)), cutoff=cutoff)
    # Two letters that changed places count as two mistakes, and are the commonest of one.
    return max(near, key=lambda like: (sorted(like) == sorted(name), like.startswith(name)), default=None)


def shortened(name: str, known: Iterable[str]) -> list[str]:
    """Returns those of the ``known`` names of whose words, more than one, ``name`` has the initials."""
    return [like for like in known if "_" in like and name == "".join(word[:1] for word in like.split("_"))]


def counted(count: int, noun: str) -> str:
    """Returns "1 image", "2 images", "1,797 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def some(names: Sequence[str], most: int, between: str = ", ") -> str:
    """Returns at most so many of the names, and how many more there are: "a, b and 3 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{between.join(names[:most])}{more}"


def plain(name: str) -> str:
    """Returns a name as it is compared: capitals, the dashes of an option, and which dash parts words do not count."""
    return name.lower().removeprefix("--").replace("-", "_")
