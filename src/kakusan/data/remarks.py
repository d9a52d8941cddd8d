"""What was done to images on the way in, as sentences for the person whose images they are."""

from kakusan.data.images import ImageSet

_SHOWN = 20


def remarks_on(images: ImageSet) -> list[str]:
    """Returns what was converted, a sentence a kind, and what was skipped, by name and reason."""
    if not images.skipped:
        return list(images.notes)
    listed = ", ".join(f"{name} ({reason})" for name, reason in images.skipped[:_SHOWN])
    more = f" and {len(images.skipped) - _SHOWN:,} more" if len(images.skipped) > _SHOWN else ""
    count = len(images.skipped)
    return [*images.notes, f"skipped {count:,} file{'' if count == 1 else 's'} that cannot be read: {listed}{more}"]
