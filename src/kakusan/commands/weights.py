"""``kakusan weights``: which pretrained files are here, and which are missing and where they come from."""

from __future__ import annotations

from kakusan.commands import options
from kakusan.commands.options import Debug, Json
from kakusan.commands.output import show_json, show_table


def weights(directory: options.Weights = None, json: Json = False, debug: Debug = False) -> None:
    """Lists the pretrained weights that measurements need: those that are here, and where the others come from."""
    from kakusan.weights import PRETRAINED, find

    found = {name: find(name, directory) for name in PRETRAINED}
    if json:
        listed = {
            name: {
                "network": it.network,
                "file": it.file,
                "megabytes": it.size // 1_000_000,
                "path": None if found[name] is None else str(found[name]),
                "url": it.url,
                "sha256": it.sha256,
                "place": str(it.cached.parent),
            }
            for name, it in PRETRAINED.items()
        }
        show_json({"weights": listed})
        return
    rows = [("", "network", "size", "here, or where from and where to")]
    for name, it in PRETRAINED.items():
        where = str(found[name]) if found[name] is not None else f"missing: {it.url} into {it.cached.parent}"
        rows.append((name, it.network, f"{it.size / 1e6:.0f} MB", where))
    show_table(rows)
