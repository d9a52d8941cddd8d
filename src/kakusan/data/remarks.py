"""What a person should know of the images they gave: what was done to them, and what looks wrong with them."""

from collections.abc import Sequence

from kakusan.data.images import ImageSet
from kakusan.errors import counted, some
from kakusan.words import Words

_SHOWN = 20
_PARTS = {"train", "training", "val", "valid", "validation", "test", "testing", "eval"}


def remarks_on(images: ImageSet) -> list[str]:
    """Returns what was converted, a sentence a kind, and what was skipped, by name and reason."""
    remarks = [*images.notes, *remarks_on_classes(images.class_names)]
    if images.skipped:
        listed = some([f"{name} ({reason})" for name, reason in images.skipped], _SHOWN)
        remarks.append(f"skipped {counted(len(images.skipped), 'file')} that cannot be read: {listed}")
    return remarks


def remarks_on_classes(names: Sequence[str]) -> list[str]:
    """Returns a warning where the folders taken for classes seem to be parts of a data set."""
    if len(names) < 2 or not {name.lower() for name in names} <= _PARTS:
        return []
    return [
        f"the folders {some(names, 3)} are taken for classes, and seem to be parts of a data set (give one of them, "
        "whose own folders then are the classes)"
    ]


def remarks_on_captions(
    images: ImageSet, words: Words, cut: Sequence[int], flip: bool, without: str = "learned as such that say nothing"
) -> list[str]:
    """Returns what is odd about captions: some are missing, ``cut``, all the same, or untrue of a mirrored image.

    Args:
        images: They have them.
        words: What reads them.
        cut: Numbers of those that are cut.
        flip: Whether images are mirrored.
        without: What becomes of images without one.
    """
    remarks = []
    told = [caption for caption in images.captions if caption.strip()]
    if missing := [place for place, caption in enumerate(images.captions) if not caption.strip()]:
        listed = some([images.names[place] if images.names else f"image {place}" for place in missing], _SHOWN)
        remarks.append(f"{counted(len(missing), 'image')} without a caption: {without}: {listed}")
    if cut:
        remarks.append(
            f"{counted(len(cut), 'caption')} longer than {words.length - 2} pieces of words and cut, such as "
            f"{images.captions[cut[0]][:80]!r} (a larger text.length takes more)"
        )
    if len(told) > 1 and len(set(told)) == 1:
        remarks.append(f"all captions are the same, {told[0][:80]!r}: a model learns nothing from them")
    if flip and words.known & {"left", "right"}:
        remarks.append("captions say left or right, and half of the images are mirrored: set data.flip to false")
    return remarks


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


def remarks_on_range(lowest: float, highest: float) -> list[str]:
    """Returns a warning, with its mend, where the values of a whole batch are not even negative."""
    if lowest < 0:
        return []
    mend = "after torchvision's ToTensor, which gives [0, 1], put Normalize(0.5, 0.5)"
    if highest > 1:
        mend = "give values of 0 to 255 as bytes, torch.uint8, or scale them to images / 127.5 - 1"
    return [
        f"the loader's first batch holds values from {lowest:g} to {highest:g}, where images should range over [−1, 1] "
        f"({mend})"
    ]
