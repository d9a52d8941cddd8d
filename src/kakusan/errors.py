"""The one exception of this library: a sentence that a person reads.

It says what was given, what is allowed and what to do. The command line prints it on one line and exits with 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class KakusanError(ValueError):
    """The caller's mistake, told in one sentence: the value, the limit, the mend."""


def unknown(kind: str, name: str, known: Iterable[str]) -> KakusanError:
    """Returns the error for a ``name`` that is not among the ``known`` ones of its ``kind``, naming the nearest."""
    names = sorted(known)
    comparable = {plain(candidate): candidate for candidate in names}
    nearest = get_close_matches(plain(name), comparable, n=1, cutoff=0.5)
    hint = f"did you mean {comparable[nearest[0]]!r}? " if nearest else ""
    return KakusanError(f"unknown {kind} {name!r}: {hint}known are {', '.join(names)}")


def plain(name: str) -> str:
    """Returns a name as it is compared: capitals, the dashes of an option, and which dash parts words do not count."""
    return name.lower().removeprefix("--").replace("-", "_")
