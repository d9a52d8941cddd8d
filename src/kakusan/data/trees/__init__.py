"""Files with names, of which any can be read: a folder, a zip, a tar; read in place, and written nowhere."""

from kakusan.data.trees.archive import Archive
from kakusan.data.trees.folder import Folder
from kakusan.data.trees.tree import Tree

__all__ = ["Archive", "Folder", "Tree"]
