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
    nearest = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return KakusanError(f"unknown {kind} {name!r}: {hint}known are {', '.join(names)}")
