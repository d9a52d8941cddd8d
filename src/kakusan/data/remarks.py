"""What a person should know of the images they gave: what was done to them, and what looks wrong with them."""

from kakusan.data.images import ImageSet
from kakusan.errors import counted

_SHOWN = 20


def remarks_on(images: ImageSet) -> list[str]:
    """Returns what was converted, a sentence a kind, and what was skipped, by name and reason."""
    if not images.skipped:
        return list(images.notes)
    listed = ", ".join(f"{name} ({reason})" for name, reason in images.skipped[:_SHOWN])
    more = f" and {len(images.skipped) - _SHOWN:,} more" if len(images.skipped) > _SHOWN else ""
    return [*images.notes, f"skipped {counted(len(images.skipped), 'file')} that cannot be read: {listed}{more}"]


def remarks_on_range(lowest: float) -> list[str]:
    """Returns a warning where the ``lowest`` value of a whole batch is not even negative."""
    if lowest < 0:
        return []
    return [
        f"no value in the loader's first batch lies below {lowest:g}, where images should range over [−1, 1] "
        "(after torchvision's ToTensor, which gives [0, 1], put Normalize(0.5, 0.5))"
    ]
