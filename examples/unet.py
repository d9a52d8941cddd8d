"""Section 4.3.3: the textbook's U-Net, part by part, its size, and what comes out: `python examples/unet.py`"""

import torch

from kakusan.networks import SimpleUNet

network = SimpleUNet(in_channels=3, out_channels=3, time_emb_dim=256, base_channels=64)

for name, part in network.named_children():
    print(f"{name:12}{sum(parameter.numel() for parameter in part.parameters()):11,}")
count = sum(parameter.numel() for parameter in network.parameters())
print(f"{'parameters':12}{count:11,}")
print(f"size: {4 * count / 1e6:.1f} MB in float32")

x, t = torch.randn(2, 3, 32, 32), torch.tensor([0, 999])
print(f"{tuple(x.shape)} → {tuple(network(x, t).shape)}")
