"""Files with names, of which any can be read: a folder, a zip, a tar; read in place, and written nowhere."""

from kakusan.data.trees.archive import Archive
from kakusan.data.trees.folder import Folder
from kakusan.data.trees.tree import Tree, read_whole

__all__ = ["Archive", "Folder", "Tree", "read_whole"]
