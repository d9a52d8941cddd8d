"""What is wrong, or only odd, with the images of a source: every one of them is decoded, and nothing is changed."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from kakusan.data.decode import Unreadable, decode
from kakusan.data.reading import check_wishes, on_all_cores, quietly
from kakusan.data.sources import Source, open_source

ODD_ASPECT = 2.0
"""Length over breadth above which cropping to a square loses half of an image."""


@dataclass(frozen=True)
class Findings:
    """What a source holds; entries are called by name, files by their path below the source.

    Attributes:
        name: What a person calls the source.
        count: Entries, broken ones included.
        broken: Entries that cannot be read, and why.
        duplicates: Groups of entries with the same pixels.
        mislabelled: How many of these groups have members in different classes.
        too_small: Entries whose shorter side is below the size that was asked for; None where none was.
        kinds: How many are colour, grey, and besides transparent, with a palette, of 16 bits, CMYK.
        off_kind: Entries of a kind that is not that of most, by kind.
        odd_aspect: Entries more than twice as long as broad.
        smallest, largest: (width, height) of the images with fewest and most pixels; None where none can be read.
        classes: How many images of each class can be read; empty without classes.
        captions: How many entries have a caption.
        uncaptioned: Entries without one; empty where none has any.
    """

    name: str
    count: int
    broken: tuple[tuple[str, str], ...]
    duplicates: tuple[tuple[str, ...], ...]
    mislabelled: int
    too_small: tuple[str, ...] | None
    kinds: dict[str, int]
    off_kind: dict[str, tuple[str, ...]]
    odd_aspect: tuple[str, ...]
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    classes: dict[str, int]
    captions: int
    uncaptioned: tuple[str, ...]


@dataclass(frozen=True)
class _Facts:
    width: int
    height: int
    kinds: tuple[str, ...]
    digest: bytes


def check(source: str | Path, *, size: int | None = None, show: bool = True) -> Findings:
    """Looks at every image of a source.

    Args:
        source: As in :func:`kakusan.data.load`.
        size: The side in pixels that training will resize to, if any.
        show: Whether to show progress.

    Raises:
        KakusanError: There is no such source, or the size makes no sense.
    """
    check_wishes(size, None, 0)
    return check_source(open_source(source), size, show)


def check_source(source: Source, size: int | None = None, show: bool = True) -> Findings:
    """Returns what :func:`check` does of a source that is open already."""

    def facts(index: int) -> _Facts | Unreadable:
        result = decode(lambda: source.read(index), None, grey=False)
        if isinstance(result, Unreadable):
            return result
        channels, height, width = result.pixels.shape
        kinds = ("grey" if channels == 1 else "colour", *(kind for kind, _ in result.conversions))
        return _Facts(
            width, height, kinds, blake2b(repr(result.pixels.shape).encode() + result.pixels.tobytes()).digest()
        )

    with quietly():
        seen = list(on_all_cores(facts, len(source), show))
    good = {index: result for index, result in enumerate(seen) if isinstance(result, _Facts)}
    broken = [
        (source.entry(index), result.reason) for index, result in enumerate(seen) if isinstance(result, Unreadable)
    ]

    def names(indices: Sequence[int]) -> tuple[str, ...]:
        return tuple(map(source.entry, indices))

    alike: defaultdict[bytes, list[int]] = defaultdict(list)
    of_kind: defaultdict[str, list[int]] = defaultdict(list)
    for index, image in good.items():
        alike[image.digest].append(index)
        for kind in image.kinds:
            of_kind[kind].append(index)
    groups = [group for group in alike.values() if len(group) > 1]
    by_pixels = sorted(good.values(), key=lambda image: (image.width * image.height, image.width))
    labels = source.labels
    return Findings(
        name=source.name,
        count=len(source),
        broken=tuple(broken),
        duplicates=tuple(map(names, groups)),
        mislabelled=sum(len({labels[index] for index in group}) > 1 for group in groups) if labels is not None else 0,
        too_small=None if size is None else names([i for i, one in good.items() if min(one.width, one.height) < size]),
        kinds={kind: len(indices) for kind, indices in of_kind.items()},
        off_kind={kind: names(indices) for kind, indices in of_kind.items() if 2 * len(indices) <= len(good)},
        odd_aspect=names([i for i, one in good.items() if _aspect(one) > ODD_ASPECT]),
        smallest=(by_pixels[0].width, by_pixels[0].height) if by_pixels else None,
        largest=(by_pixels[-1].width, by_pixels[-1].height) if by_pixels else None,
        classes=_per_class(source, good),
        captions=sum(map(bool, source.captions)),
        uncaptioned=names([index for index, caption in enumerate(source.captions) if not caption]),
    )


def _per_class(source: Source, good: dict[int, _Facts]) -> dict[str, int]:
    if source.labels is None:
        return {}
    counts = Counter(source.labels[index] for index in good)
    return {name: counts[label] for label, name in enumerate(source.class_names)}


def _aspect(image: _Facts) -> float:
    return max(image.width, image.height) / min(image.width, image.height)
