"""What an autoencoder is taught: the cost by hand, what every part of it does, and that it learns."""

import json

import pytest
import torch

import kakusan
from kakusan.codec import Codec
from kakusan.commands import main
from kakusan.config.models import Reconstruction as Settings
from kakusan.data.batches import Batch
from kakusan.errors import KakusanError
from kakusan.networks import Autoencoder
from kakusan.networks.autoencoder import Posterior
from kakusan.seeds import Draws
from kakusan.training.tasks.reconstruction import Reconstruction, edges
from tests import tiny
from tests.networks.randomised import randomised

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
TINY = {"network.channels": "8,16", "network.latent_channels": 1, "network.middle_attention": False}


def task(perception=None, **settings):
    network = randomised(Autoencoder(1, channels=(8, 16), latent_channels=2, middle_attention=False))
    return Reconstruction(Codec(network, (1, 8, 8)), Settings(**settings), IMAGES[:2], perception)


def cost(of):
    return of.losses(Batch(IMAGES), Draws(0, 0, 6))


def test_the_cost_is_the_definition():
    made = task(kl_weight=0.3)
    draws = Draws(0, 0, 6)
    found, mean, log_variance = made.network(IMAGES, draws.normal("latents", (2, 4, 4)))
    nats = Posterior(mean, log_variance).divergence()
    expected = (found - IMAGES).square().mean((1, 2, 3)) + 0.3 * nats / 64
    torch.testing.assert_close(cost(task(kl_weight=0.3)), expected)


def test_pixels_beside_an_edge_count_more():
    step = torch.full((1, 2, 4, 6), -1.0)
    step[:, 1, :, 3:] = -0.5  # half of a full edge, in one of two channels
    assert edges(step)[0, 0, 0].tolist() == [0, 0, 0.5, 0.5, 0, 0]
    assert torch.equal(edges(step.transpose(2, 3)), edges(step).transpose(2, 3))
    assert edges(torch.sign(IMAGES)).max() == 1
    flat = torch.zeros_like(IMAGES)
    made = task(kl_weight=0.0, edges=5.0)
    torch.testing.assert_close(
        made.losses(Batch(flat), Draws(0, 0, 6)), task(kl_weight=0.0).losses(Batch(flat), Draws(0, 0, 6))
    )
    found, *_ = task().network(IMAGES, Draws(0, 0, 6).normal("latents", (2, 4, 4)))
    expected = ((found - IMAGES).square() * (1 + 5 * edges(IMAGES))).mean((1, 2, 3))
    torch.testing.assert_close(cost(task(kl_weight=0.0, edges=5.0)), expected)


def test_every_part_counts():
    plain = cost(task(kl_weight=0.0))
    assert (cost(task(kl_weight=0.1)) > plain).all()
    assert not torch.allclose(cost(task(kl_weight=0.0, latent_noise=0.5)), plain)
    assert not torch.allclose(cost(task(kl_weight=0.0, pixels="absolute")), plain)
    looks = cost(task(lambda a, b: torch.ones(len(a)), kl_weight=0.0, perceptual=0.25))
    torch.testing.assert_close(looks, plain + 0.25)


def test_held_out_images_have_the_same_noise_each_time_and_in_any_batch():
    made = task()
    made.network.eval()
    whole = made.held_out(made.network, Batch(IMAGES), 0, range(6))
    assert whole.shape == (6, 1)
    parts = [made.held_out(made.network, Batch(IMAGES[i : i + 1]), 0, [i]) for i in range(6)]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_the_preview_has_images_above_and_what_is_left_of_them_below():
    made = task()
    made.network.eval()
    picture = made.preview(made.network)
    assert picture.shape[0] == 1
    assert picture.shape[1] > picture.shape[2] * 0.9


def trained(path, **overrides):
    more = {"training.batch_size": 16, "training.log_every": 1, "training.checkpoint_every": 10_000}
    data = tiny.pictures(64, (1, 8, 8))
    return kakusan.train(
        "digits-autoencoder",
        data=data,
        run=path,
        show=False,
        overrides={**TINY, "data.held_out": 8, **more, **overrides},
    )


def test_an_autoencoder_is_trained_saved_loaded_and_gone_on_with(tmp_path):
    run = trained(tmp_path / "run", **{"training.images": 64})
    lines = run.metrics()
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    assert "held_out_loss" in lines[-1]
    made = kakusan.load_autoencoder(run)
    assert made.shape == (1, 8, 8)
    assert made.images == 64
    assert made.latent_shape == (1, 4, 4)
    assert (run.samples_path / "0000064.png").exists()
    whole = trained(tmp_path / "whole", **{"training.images": 96})
    kakusan.train(resume=run, data=tiny.pictures(64, (1, 8, 8)), images=96, show=False)
    ours, theirs = (kakusan.load_autoencoder(it).network.state_dict() for it in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_is_no_model_is_loaded_by_its_own_name(tmp_path):
    run = trained(tmp_path / "run", **{"training.images": 16})
    with pytest.raises(KakusanError, match=r"trained an autoencoder, which kakusan\.load_autoencoder returns"):
        kakusan.load(run)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"schedule": "linear"}, "schedule says nothing to an autoencoder, which knows no noise"),
        ({"sampling.steps": 3}, "sampling says nothing to an autoencoder"),
        ({"training.microbatch": 4}, "training.microbatch would part a batch"),
        ({"objective.kind": "denoising"}, "cannot learn the objective denoising"),
        ({"objective.perceptual": 0.1}, "vgg16"),
    ],
)
def test_what_an_autoencoder_has_no_use_for_is_refused(tmp_path, changes, answer):
    with pytest.raises(KakusanError, match=answer):
        trained(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_a_denoiser_reconstructs_nothing():
    with pytest.raises(KakusanError, match="a network of kind unet cannot learn the objective reconstruction"):
        kakusan.config.load("digits", {"objective.kind": "reconstruction"})


def test_commands_say_what_can_be_done_with_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = ["--network.channels", "8,16", "--training.batch_size", "16", "--images", "32", "--data.held_out", "20"]
    assert main(["train", "digits-autoencoder", "--run", "a", *short]) == 0
    assert "kakusan train PRESET --data.latent a" in capsys.readouterr().out
    assert main(["info", "a", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["network"] == "autoencoder"
    assert not {"schedule", "parametrization"} & told.keys()
    assert main(["sample", "a"]) == 2
    assert "what draws is a denoiser in its latents" in capsys.readouterr().err
    assert main(["report", "a", "--lang", "en"]) == 0
    page = (tmp_path / "a" / "report.html").read_text()
    assert "Before and after" in page
    assert "Images of 1×8×8 come back from latents of 2×4×4, 2.00 times fewer numbers" in page


def test_a_vae_draws_from_its_latents(tmp_path):
    made = kakusan.load_autoencoder(trained(tmp_path / "run", **{"training.images": 16}))
    images = kakusan.sample(made, n=5, seed=3)
    assert images.shape == (5, 1, 8, 8)
    torch.testing.assert_close(kakusan.sample(made, n=5, seed=3, batch=2), images)
    for wrong, answer in (({"n": 0}, "n must be at least 1"), ({"steps": 3}, "leave out steps")):
        with pytest.raises(KakusanError, match=answer):
            kakusan.sample(made, **wrong)
