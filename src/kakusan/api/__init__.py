"""What a notebook calls: train, load, sample, walk, generate, evaluate, measure."""

from kakusan.api.drawing import load, load_autoencoder, load_clip, sample, walk
from kakusan.api.generating import generate
from kakusan.api.measuring import evaluate, measure
from kakusan.api.training import train

__all__ = ["evaluate", "generate", "load", "load_autoencoder", "load_clip", "measure", "sample", "train", "walk"]
