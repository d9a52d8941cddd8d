"""``kakusan weights``: which pretrained files are here, and which are missing and where they come from."""

from __future__ import annotations

from kakusan.commands import options
from kakusan.commands.options import Debug, Json
from kakusan.commands.output import show_json, show_table


def weights(directory: options.Weights = None, json: Json = False, debug: Debug = False) -> None:
    """Lists the pretrained weights that measurements need: those that are here, and where the others come from."""
    from kakusan.weights import CLIP, PRETRAINED, find, find_repository

    clip = find_repository(CLIP, directory)
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
        listed["clip"] = {
            "network": CLIP.network,
            "file": CLIP.folder,
            "megabytes": CLIP.size // 1_000_000,
            "path": None if clip is None else str(clip),
            "url": CLIP.url,
            "sha256": CLIP.sha256,
            "place": "the cache of the Hugging Face hub",
        }
        show_json({"weights": listed})
        return
    rows = [("", "network", "size", "here, or where from and where to")]
    for name, it in PRETRAINED.items():
        where = str(found[name]) if found[name] is not None else f"missing: {it.url} into {it.cached.parent}"
        rows.append((name, it.network, f"{it.size / 1e6:.0f} MB", where))
    where = str(clip) if clip is not None else f"missing: {CLIP.url} into the cache of the Hugging Face hub"
    rows.append(("clip", CLIP.network, f"{CLIP.size / 1e6:.0f} MB", where))
    show_table(rows)
