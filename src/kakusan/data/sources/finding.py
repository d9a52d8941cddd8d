"""From the name or the path of a source to the source."""

import os
import re
from pathlib import Path

from kakusan.config import names
from kakusan.config.wording import either
from kakusan.data.images import ImageSet
from kakusan.data.listing import shards_in
from kakusan.data.sources.cifar10 import is_here
from kakusan.data.sources.files import from_tree
from kakusan.data.sources.held import Held
from kakusan.data.sources.hub import hub, parquet
from kakusan.data.sources.source import Source
from kakusan.data.trees import Archive, Folder
from kakusan.errors import KakusanError, unknown
from kakusan.files import at_home


def open_source(source: str | Path) -> Source:
    """Returns the source of a name or a path.

    Args:
        source: One of the names in ``config.names.SOURCES``, or ``"hub:OWNER/NAME"``; or the path of a folder
            (``"./digits"`` where one has that name), of an archive or a folder in one, of a file of another format.

    Raises:
        KakusanError: There is no such source, or it cannot be read.
    """
    if isinstance(source, str) and source in names.SOURCES:
        made = names.load(names.SOURCES[source])()
        return Held(made) if isinstance(made, ImageSet) else made
    if isinstance(source, str) and source.startswith(names.HUB):
        return hub(source.removeprefix(names.HUB))
    if isinstance(source, str) and source.startswith(names.PYTHON):
        name = source.removeprefix(names.PYTHON)
        raise KakusanError(f"these images were given in Python, as {name}: give them again (data=…)")
    path = at_home(source)
    if os.path.isdir(path):  # not Path.is_dir, which raises where a name is too long
        tree = Folder(path)
        return (
            parquet(*map(path.joinpath, shards), beside=tree.names) if (shards := shards_in(tree)) else from_tree(tree)
        )
    file = next((place for place in (path, *path.parents) if os.path.isfile(place)), None)
    if file is None:
        raise _unknown(str(source))
    if file.name.lower().endswith(names.ARCHIVES):
        return from_tree(Archive(file, "" if file == path else path.relative_to(file).as_posix()))
    if file != path or file.suffix.lower() not in names.FORMATS:
        raise KakusanError(
            f"{file} is a file, not a source of images (give the folder it lies in, or a file that ends in "
            f"{either((*names.FORMATS, *names.ARCHIVES))})"
        )
    found: Source = names.load(names.FORMATS[file.suffix.lower()])(file)
    return found


def require_here(source: str | Path) -> None:
    """Refuses a source that would be downloaded.

    Raises:
        KakusanError: It is of the hub, which is asked even for what is here, or CIFAR-10 that is not here yet.
    """
    if isinstance(source, str) and (source.startswith(names.HUB) or (source == "cifar10" and not is_here())):
        raise KakusanError(f"{source} may not be downloaded (leave out --offline, or give the path of a file)")


def source_named(source: str | Path) -> str:
    """Returns a source as text; a path stays one, also where it is called as a source is: ``Path("digits")``."""
    return source if isinstance(source, str) else str(at_home(source).absolute())


def absolute(source: str) -> str:
    """Returns a source that means the same in every directory: paths in full, names as they are."""
    path = at_home(source)
    named = source in names.SOURCES or source.startswith((names.HUB, names.PYTHON))
    return source if named or not any(map(os.path.exists, (path, *path.parents[:-1]))) else str(path.resolve())


def portable(name: str) -> str:
    """Returns the name of a model as it is the same from another directory: paths in full, names of the hub as they
    are."""
    return str(Path(absolute(name))) if at_home(name).exists() else name


def _unknown(source: str) -> KakusanError:
    if "/" in source or Path(source).suffix:
        on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", source)
        hint = f"; a data set of the Hugging Face hub is {names.HUB}{source}" if on_hub else ""
        return KakusanError(f"there is no {source} (check the path{hint})")
    return KakusanError(
        f"there is nothing called {source} here, and {unknown('data source', source, names.SOURCES)}, or the path of a "
        "folder, an archive, a parquet file or a prepared cache of images"
    )
