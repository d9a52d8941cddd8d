"""Several adapters as one: the sum of what they change, exactly, or brought to a lower rank."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kakusan.adapters.adapter import Adapter
from kakusan.adapters.spelling import DOWN, UP
from kakusan.errors import KakusanError

LOST = "kakusan.lost"
"""Under which a merged adapter says which share of its changes a lower rank has cut off."""


def merged(weighted: Sequence[tuple[Adapter, float]], rank: int | None = None) -> Adapter:
    """Returns one adapter that changes what all of them change, each as much as it counts.

    Args:
        weighted: Each, and how much it counts.
        rank: Of the result, for which a singular value decomposition keeps the largest changes, and its ``about`` says
            under :data:`LOST` what share of them, in the Frobenius norm, was cut off; None: exact, the sum of all
            ranks, and alpha the rank.

    Raises:
        KakusanError: There is none, two are for different architectures, or ``rank`` is above what there is.
    """
    if not weighted:
        raise KakusanError("there is nothing to merge (give the files of LoRAs)")
    for adapter, _ in weighted[1:]:
        _require_alike(weighted[0][0], adapter)
    factors: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for adapter, weight in weighted:
        for layer in adapter.ranks:
            down, up = (factor.float() for factor in adapter.factors(layer))
            factors.setdefault(layer, []).append((down, up * (weight * adapter.scale(layer))))
    joined = {layer: tuple(map(torch.cat, zip(*its, strict=True), (0, 1))) for layer, its in factors.items()}
    about = {"kakusan.merged": " + ".join(f"{weight:g} · {adapter.name}" for adapter, weight in weighted)}
    if rank is not None:
        most = max(down.shape[0] for down, _ in joined.values())
        if not 1 <= rank <= most:
            raise KakusanError(f"rank must be from 1 to {most}, which is that of all of them together, not {rank}")
        whole = cut = 0.0
        for layer, (down, up) in joined.items():
            *lower, its, lost = _lowered(down, up, rank)
            joined[layer] = tuple(lower)
            whole, cut = whole + its, cut + lost
        about[LOST] = f"{(cut / whole) ** 0.5 if whole else 0:.3g}"
    weights: dict[str, Tensor] = {}
    for layer, (down, up) in joined.items():
        weights |= {layer + DOWN: down, layer + UP: up}
    return Adapter(weights, about=about, name=about["kakusan.merged"])


def _lowered(down: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor, float, float]:
    """Returns A and B of a lower rank whose product is nearest; the squared norm of the whole; and of what is lost."""
    a, b = down.flatten(1).double(), up.flatten(1).double()
    # Their product is as large as a layer; that of their triangles only as their rank.
    (qb, rb), (qa, ra) = torch.linalg.qr(b), torch.linalg.qr(a.T)
    u, s, v = torch.linalg.svd(rb @ ra.T, full_matrices=False)
    root = s[:rank].sqrt()
    lower_a, lower_b = root[:, None] * v[:rank] @ qa.T, qb @ u[:, :rank] * root
    kept = (lower_a.float().unflatten(1, down.shape[1:]), lower_b.float().unflatten(1, (-1, *up.shape[2:])))
    return *kept, s.square().sum().item(), s[rank:].square().sum().item()


def _require_alike(one: Adapter, other: Adapter) -> None:
    """Refuses adapters for different architectures."""
    widths = one.cross_width, other.cross_width
    if None not in widths and widths[0] != widths[1]:
        raise KakusanError(
            f"{one.name} was made for {one.family}, and {other.name} for {other.family} (merge those of one model)"
        )
    for layer in one.ranks.keys() & other.ranks.keys():
        made = [(up.shape[0], *down.shape[1:]) for down, up in (one.factors(layer), other.factors(layer))]
        if made[0] != made[1]:
            raise KakusanError(
                f"{one.name} and {other.name} were made for different architectures: {layer} is of "
                f"{' and of '.join('×'.join(map(str, shape)) for shape in made)} (merge those of one model)"
            )
