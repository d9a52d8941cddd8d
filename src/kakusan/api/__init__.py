"""What a notebook calls: train, load, sample, walk, evaluate, measure."""

from kakusan.api.drawing import load, sample, walk
from kakusan.api.measuring import evaluate, measure
from kakusan.api.training import train

__all__ = ["evaluate", "load", "measure", "sample", "train", "walk"]
