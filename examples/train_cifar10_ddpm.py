"""Section 4.6.1: CIFAR-10, trained and drawn: `python examples/train_cifar10_ddpm.py --epochs 50 --batch-size 128`"""

import argparse

import kakusan
from kakusan import pictures

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=50)
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--data", default="cifar10", help="where to read it from, instead of downloading it")
parser.add_argument("--run", default="runs/chapter-cifar10")
parser.add_argument("--samples", type=int, default=64)
asked = parser.parse_args()

length = {"epochs": asked.epochs, "batch_size": asked.batch_size}
run = kakusan.train("chapter-cifar10", data=asked.data, run=asked.run, **length)  # what else there is: its preset
images = kakusan.sample(kakusan.load(run), n=asked.samples, sampler="ddim", steps=50, seed=0, show=True)
pictures.save(run.path / "samples.png", pictures.grid(images))
print(f"{len(images)} samples in {run.path / 'samples.png'}")
