"""``kakusan data``: what is wrong with images, one file of them that trains without being loaded, and captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from kakusan.commands.options import Debug, Device, Json
from kakusan.commands.output import show_json, show_table
from kakusan.config.names import HUB, SOURCES
from kakusan.errors import KakusanError, counted, some
from kakusan.files import require_free_file

if TYPE_CHECKING:
    from kakusan.data.checking import Findings

_SHOWN = 3
_BAR = 40
_LISTED = 40

_Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help=f"{', '.join(SOURCES)}, a folder, a zip or tar file or a folder in one, a parquet file, a prepared cache, "
        "or hub:OWNER/NAME",
    ),
]


def prepare(
    source: _Source,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="where they go, FILE.safetensors")],
    size: Annotated[
        int | None, typer.Option(metavar="N", help="side in pixels to resize and crop to  [default: as they agree]")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(metavar="1|3", help="1 is grey, 3 is colour  [default: as they are]")
    ] = None,
    max_broken: Annotated[
        float, typer.Option(metavar="SHARE", help="share of unreadable images that is skipped; more are refused")
    ] = 0.05,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the FILE that is there")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Decodes, crops and resizes images once, into one file.

    --data.source FILE trains from it. It stays on the disk and is mapped into memory, so it may be larger than that.
    """
    from kakusan.data import prepare as write
    from kakusan.data.remarks import remarks_on
    from kakusan.progress import say

    images = write(source, out, size=size, channels=channels, max_broken=max_broken, overwrite=overwrite)
    for remark in remarks_on(images):
        say(remark)
    if json:
        facts = {"cache": str(out), "images": len(images), "shape": images.shape, "skipped": len(images.skipped)}
        show_json({**facts, "class_names": images.class_names, "captions": sum(map(bool, images.captions))})
        return
    shape, classes = "×".join(map(str, images.shape)), len(images.class_names)
    typer.echo(
        f"{out}: {len(images):,} images of {shape}{f' in {classes:,} classes' if classes else ''}, "
        f"{out.stat().st_size / 2**20:,.1f} MiB"
    )
    typer.echo(f"train from it: --data.source {quote(str(out))}")


def check(
    source: _Source,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="draw a contact sheet, FILE.png")
    ] = None,
    size: Annotated[int | None, typer.Option(metavar="N", help="say which are smaller than N pixels")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the FILE that is there")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Says what is wrong with images, and changes nothing.

    Broken, duplicated, too small, of another kind than most; and how many there are of each class. Ends with 1 where
    some are broken.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise KakusanError(f"a contact sheet is a PNG, unlike {out} (-o {out.stem}.png)")
    if out is not None:
        require_free_file(out, overwrite)

    from kakusan import pictures
    from kakusan.data.checking import check_source
    from kakusan.data.contact_sheet import contact_sheet
    from kakusan.data.reading import check_wishes
    from kakusan.data.remarks import remarks_on_classes
    from kakusan.data.sources import open_source
    from kakusan.progress import say

    check_wishes(size, None, 0)
    listed = open_source(source)
    findings = check_source(listed, size)
    show_json(asdict(findings)) if json else _show(findings, size)
    for remark in (*listed.notes, *remarks_on_classes(tuple(findings.classes))):
        say(remark)
    if out is not None:
        pictures.save(out, contact_sheet(listed))
        say(f"contact sheet: {out}")
    elif not json:
        say("a contact sheet of them: -o FILE.png")
    if findings.broken:
        raise typer.Exit(1)


def caption(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="a folder of images; its sub-folders are the classes")
    ],
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help='what to say of each: "a photo of {class}", {name} for its file\'s, {caption} for what --model says',
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|NAME", help=f"who looks at them: a BLIP, such as {HUB}Salesforce/blip-image-captioning-base"
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace captions that are there")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Writes a caption of every image into DIR/metadata.jsonl, where training reads it.

    All of them or none: what is interrupted leaves the folder as it was. Images that cannot be read are listed.
    """
    from kakusan.api.captioning import caption as write
    from kakusan.progress import say

    found = write(directory, template=template, model=model, device=device, overwrite=overwrite)
    if found.skipped:
        broken = ", ".join(f"{name} ({reason})" for name, reason in found.skipped)
        say(f"skipped {counted(len(found.skipped), 'file')} that cannot be read: {broken}")
    if json:
        show_json({"file": str(found.path), "captions": dict(found.texts), "skipped": found.skipped})
        return
    typer.echo(f"{found.path}: {counted(len(found.texts), 'caption')}, such as")
    for name, text in list(found.texts.items())[:_SHOWN]:
        typer.echo(f"  {name}: {text}")


def _show(found: Findings, size: int | None) -> None:
    """Prints the findings: how many, and by name those that are broken, and the first of others."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=found.name, title_justify="left", show_header=False, box=SIMPLE)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for what, count, details in _rows(found, size):
        table.add_row(*map(Text, (what, f"{count:,}", details)))
    Console().print(table)
    if 0 < len(found.classes) <= _LISTED:
        most, digits = max(found.classes.values()), len(f"{max(found.classes.values()):,}")
        typer.echo()
        show_table([(name, f"{count:,}".rjust(digits), _bar(count, most)) for name, count in found.classes.items()])


def _rows(found: Findings, size: int | None) -> Iterator[tuple[str, int, str]]:
    from kakusan.data.checking import ODD_ASPECT

    yield "can be read", found.count - len(found.broken), _sizes(found)
    yield "broken", len(found.broken), ", ".join(f"{name} ({reason})" for name, reason in found.broken)
    copies = sum(len(group) - 1 for group in found.duplicates)
    apart = f"; {found.mislabelled:,} of them in different classes" if found.mislabelled else ""
    yield "copies of another", copies, _first([" = ".join(group) for group in found.duplicates]) + apart
    if found.too_small is not None:
        yield f"smaller than {size}", len(found.too_small), _first(found.too_small)
    yield f"longer than {ODD_ASPECT:g}:1", len(found.odd_aspect), _first(found.odd_aspect)
    for kind, count in found.kinds.items():
        yield kind, count, _first(found.off_kind.get(kind, ()))
    if found.classes:
        few, many = (pick(found.classes, key=lambda name: found.classes[name]) for pick in (min, max))
        alike = found.classes[few] == found.classes[many]
        ends = f"from {found.classes[few]:,} images ({few}) to {found.classes[many]:,} ({many})"
        yield "classes", len(found.classes), f"{found.classes[few]:,} images each" if alike else ends
    if found.captions:
        yield "with a caption", found.captions, ""
        yield "without one", len(found.uncaptioned), _first(found.uncaptioned)


def _sizes(found: Findings) -> str:
    if found.smallest is None or found.largest is None:
        return ""
    least, most = ("×".join(map(str, size)) for size in (found.smallest, found.largest))
    return f"all of {least}" if least == most else f"from {least} to {most}"


def _first(names: Sequence[str]) -> str:
    return some(names, _SHOWN) + (" (--json lists all)" if len(names) > _SHOWN else "")


def _bar(count: int, most: int) -> str:
    return "█" * round(_BAR * count / max(1, most))
