"""``kakusan weights``: which pretrained files are here, and which are missing and where they come from."""

from __future__ import annotations

from typing import Any

from kakusan.commands import options
from kakusan.commands.options import Debug, Json
from kakusan.commands.output import show_json, show_table


def weights(directory: options.Weights = None, json: Json = False, debug: Debug = False) -> None:
    """Lists the pretrained weights that measurements need: those that are here, and where the others come from."""
    from kakusan.weights import PUBLISHED, damaged, require_place

    require_place(directory)
    listed: dict[str, dict[str, Any]] = {}
    for name, wanted in PUBLISHED.items():
        path = wanted.find(directory)
        listed[name] = {
            "network": wanted.network,
            "file": wanted.file,
            "megabytes": round(wanted.size / 1_000_000),
            "path": None if path is None else str(path),
            "damaged": path is not None and damaged(wanted, path),
            "url": wanted.url,
            "sha256": wanted.sha256,
            "place": wanted.place,
        }
    if json:
        show_json({"weights": listed})
        return
    rows = [("", "network", "size", "here, or where from and where to")]
    for name, it in listed.items():
        where = it["path"] or f"missing: {it['url']} into {it['place']}"
        if it["damaged"]:
            where = f"damaged, of another size than the published one: {where} (remove it, and get it anew)"
        rows.append((name, it["network"], f"{it['megabytes']} MB", where))
    show_table(rows)
