"""What a person should know of the images they gave: what was done to them, and what looks wrong with them."""

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


def remarks_on_count(images: int, batch_size: int) -> list[str]:
    """Returns a warning where there is one image, or fewer than a batch holds."""
    if images == 1:
        return ["there is one image, so the model will know nothing but that one (give more of its kind)"]
    if images < batch_size:
        return [
            f"a batch of {batch_size:,} is more than all {images:,} images, so each is seen several times a step "
            f"(--training.batch_size {images} sees each once)"
        ]
    return []


def remarks_on_range(lowest: float) -> list[str]:
    """Returns a warning where the ``lowest`` value of a whole batch is not even negative."""
    if lowest < 0:
        return []
    return [
        f"no value in the loader's first batch lies below {lowest:g}, where images should range over [−1, 1] "
        "(after torchvision's ToTensor, which gives [0, 1], put Normalize(0.5, 0.5))"
    ]
