"""Section 4.3.2: how a network is told the time, and how alike times are: `python examples/time_embedding.py`"""

import torch
from torch.nn.functional import normalize

from kakusan.networks.embeddings import TimeEmbedding, sinusoidal_embedding

indices = torch.tensor([0, 100, 300, 500, 700, 999])
waves = sinusoidal_embedding(indices, 128)  # 64 sines, then 64 cosines
print(f"waves {tuple(waves.shape)}, after the perceptron {tuple(TimeEmbedding(128, 256)(indices.float()).shape)}")

print("\nthe first 64 dimensions, from −1 (blank) to 1 (full)")
for index, row in zip(indices, waves[:, :64], strict=True):
    print(f"{index:4} |" + "".join(" ▁▂▃▄▅▆▇█"[int(4 * (value + 1))] for value in row) + "|")

# Every row has the length √64, so the products of rows themselves would be 64 times these.
print("\ncosine similarity")
print("     " + "".join(f"{index:7}" for index in indices))
for index, row in zip(indices, normalize(waves) @ normalize(waves).T, strict=True):
    print(f"{index:5}" + "".join(f"{value:7.3f}" for value in row))
