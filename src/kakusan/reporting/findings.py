"""Titles that say what was found: sentences made from the numbers, never more than these allow."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kakusan.reporting import words

_AGREES = 0.9


def distance(frechet_distance: float, noise_floor: float) -> str:
    """Returns how far the samples lie from real images, in units of how far these lie from each other."""
    ratio = frechet_distance / noise_floor
    if ratio <= 1:
        return "The samples lie no farther from real images than real images lie from each other"
    return f"The samples lie {words.number(ratio)} times as far from real images as these lie from each other"


def recognition(class_accuracy: float | None, each: str) -> str:
    """Returns how often the samples are what was asked for; where nobody measured it, what there is to see."""
    if class_accuracy is None:
        return f"{each} of every class"
    return f"{words.percent(class_accuracy)} of such samples are recognised as what was asked for"


def emergence(frames: Sequence[tuple[float, Tensor, Tensor]]) -> str:
    """Returns from what time on the predicted x_0 stays correlated by 0.9 or more with the last picture.

    Args:
        frames: Time, x and x_0, from noise to data; at least one.
    """
    settled, final = None, frames[-1][1]
    for time, _, x0 in reversed(frames):
        correlation = torch.corrcoef(torch.stack([x0.flatten(), final.flatten()]).double())[0, 1].item()
        if not correlation >= _AGREES:  # a picture of one grey correlates with nothing: NaN
            break
        settled = time
    if settled is None:
        return f"A picture takes shape in {words.several(len(frames), 'step')}"
    return f"From t = {settled:.2f} on, the network's guess correlates with the final picture by {_AGREES} or more"


def loss(images: Sequence[int], losses: Sequence[float]) -> str:
    """Returns where the loss began and where it ended.

    Args:
        images: Images seen.
        losses: The loss there; at least one.
    """
    if len(losses) == 1:
        return f"The loss was {words.number(losses[0])} after {words.count(images[0])} images"
    fell = "fell" if losses[-1] < losses[0] else "rose"
    ends = f"from {words.number(losses[0])} to {words.number(losses[-1])}"
    return f"The loss {fell} {ends} in {words.count(images[-1])} images"


def half_of_the_fall(images: Sequence[int], losses: Sequence[float]) -> str:
    """Returns when half of the fall of the loss was over; where it did not fall, only what is drawn."""
    drawn = "The faint line is a few steps' mean, the strong one an epoch's"
    if losses[-1] >= losses[0]:
        return f"{drawn}."
    middle = (losses[0] + losses[-1]) / 2
    over = next(seen for seen, value in zip(images, losses, strict=True) if value <= middle)
    return f"{drawn}; half of the fall was over after {words.count(over)} images."


def schedules(halves: Mapping[str, int]) -> str:
    """Returns when each schedule of 1,000 steps has lost half of the signal's power, the hastiest first."""
    (first, steps), *others = sorted(halves.items(), key=lambda half: half[1])
    rest = " and ".join(f"the {name} one after {words.count(later)}" for name, later in others)
    return f"Half of the signal is gone after {words.count(steps)} of 1,000 steps of the {first} schedule, {rest}"
