"""The handwritten digits that come with scikit-learn: real images without a download."""

import torch

from kakusan.data.images import ImageSet


def digits() -> ImageSet:
    """Returns 1,797 grey 8×8 digits with their labels; the 17 levels of the source are spread over 0 to 255.

    Source: Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    """
    # Imported here: scikit-learn takes a second to load, and who trains on a folder has no need of it.
    from sklearn.datasets import load_digits

    source = load_digits()
    levels = torch.from_numpy(source.images)
    return ImageSet(
        images=(levels * 255 / 16).round().to(torch.uint8)[:, None],
        labels=torch.from_numpy(source.target).long(),
        class_names=tuple(str(name) for name in source.target_names),
        name="digits",
    )
