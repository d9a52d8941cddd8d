"""A small world of shapes: scenes drawn by lot, their pictures, their captions, and a verifier of both."""

from kakusan.shapes.captions import Wanted, caption, parse
from kakusan.shapes.drawing import draw
from kakusan.shapes.scenes import KINDS, Scene, Thing, scene
from kakusan.shapes.verifier import Verdict, read, verify

__all__ = ["KINDS", "Scene", "Thing", "Verdict", "Wanted", "caption", "draw", "parse", "read", "scene", "verify"]
