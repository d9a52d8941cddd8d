"""A Stable Diffusion so small that it is trained and exported in seconds; its weights mean nothing."""

import kakusan
from kakusan import latents
from kakusan.codec import Codec
from kakusan.data.images import ImageSet
from kakusan.networks import Autoencoder
from tests import tiny
from tests.networks.randomised import randomised

CAPTIONS = tuple(("a red circle", "a small blue star", "two cats")[i % 3] for i in range(24))
SHORT = {
    "network": {"kind": "unet", "channels": (8, 16), "blocks": 1, "text_conditional": True},
    "text": {"width": 16, "layers": 2, "heads": 2, "length": 12, "vocabulary": 560},
    "training": {"batch_size": 8, "images": 16, "samples_every": 0},
    "schedule": {"kind": "cosine", "steps": 100},
    "sampling": {"steps": 10, "guidance": 3.0},
}


def run(path, *, latent=True, **more):
    network = randomised(Autoencoder(3, channels=(8, 16), latent_channels=4, middle_attention=False))
    network.shift.fill_(0.3), network.scale.fill_(1.7)
    latents.write(Codec(network.eval(), (3, 16, 16)), path.parent / "autoencoder.safetensors")
    pictures = ImageSet(tiny.pictures(24, (3, 16, 16)).images, captions=CAPTIONS, name="pictures")
    overrides = {**SHORT, **more}
    if latent:
        overrides["data.latent"] = str(path.parent / "autoencoder.safetensors")
    made = kakusan.train(data=pictures, run=path, show=False, overrides=overrides)
    for file in ("ema.safetensors", "model.safetensors"):  # a new network gives nothing, and would agree with any other
        weights = randomised(kakusan.load(made).network).state_dict()
        (made.checkpoint().path / file).write_bytes(kakusan.tensors.pack(weights))
    return made
