"""Image files in a folder or an archive; its sub-folders, if it has any, are the classes."""

from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import PurePosixPath

from PIL import Image

from kakusan.data.listing import captions_of, classes_of, images_in, left_out
from kakusan.data.sources.cifar10 import ARCHIVES, holds_cifar10, read_cifar10
from kakusan.data.sources.held import Held
from kakusan.data.sources.source import Source
from kakusan.data.trees import Archive, Folder, Tree
from kakusan.errors import counted, some


def from_tree(tree: Tree) -> Source:
    """Returns what a folder or an archive holds: the batches of CIFAR-10, packed or not, or image files.

    Raises:
        KakusanError: It holds neither, or what it holds is damaged.
    """
    if holds_cifar10(tree):
        return Held(read_cifar10(tree))
    packed = next((name for name in ARCHIVES if name in tree.names), None)  # as torchvision leaves it
    if packed is not None and isinstance(tree, Folder):
        return Held(read_cifar10(Archive(tree.path / packed)))
    return ImageFiles(tree)


class ImageFiles:
    """The image files of a tree.

    Args:
        tree: The folder or archive.

    Raises:
        KakusanError: There is no image, or classes or captions are unclear.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree, self._names = tree, images_in(tree)
        self.name = _printable(tree.path.resolve().name)
        folders, self.labels = classes_of(tree, self._names)
        self.class_names = tuple(map(_printable, folders))
        self.captions = captions_of(tree, self._names)
        self.notes = tuple(_notes(tree, () if self.labels is None else folders))

    def __len__(self) -> int:
        return len(self._names)

    def entry(self, index: int) -> str:
        return _printable(self._names[index])

    def read(self, index: int) -> Image.Image:
        return opened(self._tree.read(self._names[index]))


def _notes(tree: Tree, classes: Collection[str]) -> Iterator[str]:
    """Yields what was left out, which a person may not know."""
    if classes and (empty := sorted(map(_printable, set(tree.folders).difference(classes)))):
        yield f"no image lies in {some(empty, 3)}, and no class is made of it"
    if others := left_out(tree):
        kinds = ", ".join(sorted({PurePosixPath(name).suffix.lower() for name in others}))
        yield _printable(f"left out, for of {kinds} none is read: {counted(len(others), 'file')}, such as {others[0]}")


def _printable(name: str) -> str:
    """Returns a name in which bytes that are no text are written out, since they can be neither shown nor stored."""
    return name.encode("utf-8", "backslashreplace").decode()


def opened(content: bytes) -> Image.Image:
    """Returns the picture that a file's content is, with whatever error Pillow has."""
    if not content:
        raise ValueError("empty file")
    return Image.open(BytesIO(content))
