"""Section 4.4.2: a thousand steps of DDPM against fifty of DDIM, timed: `python examples/ddim.py`"""

import time

import kakusan
from kakusan.denoiser import Denoiser
from kakusan.networks import SimpleUNet
from kakusan.parametrization import Epsilon

network = SimpleUNet(1, 1, time_emb_dim=64, base_channels=16)  # untrained: it takes the same time
denoiser = Denoiser(network, kakusan.schedules.linear(1000), Epsilon())
calls = []
network.register_forward_hook(lambda *_: calls.append(1))

seconds = {}
for sampler, steps in {"ddpm": 1000, "ddim": 50}.items():
    calls.clear()
    started = time.perf_counter()
    kakusan.sample(denoiser, n=4, shape=(1, 8, 8), sampler=sampler, steps=steps, seed=0)
    seconds[sampler] = time.perf_counter() - started
    print(f"{sampler}: {steps} steps, {len(calls)} network calls, {1000 * seconds[sampler]:.0f} ms")
print(f"speed-up: {seconds['ddpm'] / seconds['ddim']:.1f}×")

# eta=0 draws no noise on the way: the same seed gives the same pictures. eta=1 has the noise of DDPM.
again = [kakusan.sample(denoiser, n=4, shape=(1, 8, 8), steps=10, eta=0, seed=0) for _ in range(2)]
print(f"the same seed again: largest difference {(again[0] - again[1]).abs().max():g}")
