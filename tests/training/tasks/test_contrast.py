"""A CLIP: what it learns, against its formula; from a run to its vectors, and to transformers and back."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy

import kakusan
from kakusan import api
from kakusan.commands import main
from kakusan.data.batches import Batch, ImageBatches
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.interop.text import clip_from_transformers, clip_to_transformers
from kakusan.matcher import Matcher
from kakusan.networks import CLIP, ImageEncoder, TextEncoder
from kakusan.pictures import save
from kakusan.runs import Run
from kakusan.seeds import Draws
from kakusan.training.tasks.contrast import Contrast
from kakusan.training.validation import Validation
from kakusan.words import found_in
from tests.networks.randomised import randomised
from tests.tiny import assert_same

CAPTIONS = [f"a {shade} picture" for shade in ("black", "dark", "grey", "bright", "white")]
SMALL = {
    "network": {"kind": "clip", "width": 8, "image_width": 16, "image_layers": 1, "image_heads": 2},
    "text": {"width": 16, "layers": 1, "heads": 2, "length": 8, "vocabulary": 520},
    "optimizer": {"learning_rate": 5e-3, "warmup_images": 100, "decay": "none"},
    "ema": {"half_life": 200},
    "training": {"batch_size": 20, "images": 100, "log_every": 1},
    "data.held_out": 5,
}


def pictures(count=45):
    shades = torch.tensor([[10, 70, 130, 190, 245][i % 5] for i in range(count)])
    noise = torch.randint(-8, 8, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    images = (shades[:, None, None, None] + noise).to(torch.uint8)
    return ImageSet(images, captions=tuple(CAPTIONS[i % 5] for i in range(count)), name="shades")


def train(path, data=None, **more):
    return kakusan.train(data=data or pictures(), run=path, show=False, overrides={**SMALL, **more})


def matcher():
    words = found_in(CAPTIONS, 520, 8)
    text = TextEncoder(len(words), length=8, width=12, layers=2, heads=2)
    image = ImageEncoder(3, size=8, patch=2, width=16, layers=2, heads=4)
    return Matcher(randomised(CLIP(text, image, 6)).eval(), (3, 8, 8), words)


def test_the_loss_is_its_formula():
    one = matcher()
    images, words = torch.randn(4, 3, 8, 8), one.words(CAPTIONS[:4])
    found = Contrast(one, Batch(images, words=words)).losses(Batch(images, words=words), Draws(0, 0, 4))
    u, w, scale = one.network(images, words)
    logits, own = scale * u @ w.T, torch.arange(4)
    expected = (cross_entropy(logits, own, reduction="none") + cross_entropy(logits.T, own, reduction="none")) / 2
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_scale_that_went_too_far_comes_back():
    one = matcher()
    one.network.train()
    with torch.no_grad():
        one.network.log_scale.fill_(6.0)
    images, words = torch.randn(4, 3, 8, 8), one.words(CAPTIONS[:4])
    Contrast(one, Batch(images, words=words)).losses(Batch(images, words=words), Draws(0, 0, 4)).mean().backward()
    assert one.network.scale.item() == pytest.approx(100.0)
    assert one.network.log_scale.grad.item() != 0


def test_held_out_pairs_are_told_from_the_same_others_by_any_count_of_processes():
    one = matcher()
    batches = ImageBatches(pictures(150))
    task = Contrast(one, Batch(torch.empty(0, 1, 8, 8)))
    judged = Validation(batches, torch.arange(150), 0, 16)
    shares = [judged._share(task.together, SimpleNamespace(index=i, count=2)) for i in (0, 1)]
    assert sorted(map(list, [*shares[0], *shares[1]])) == sorted(
        map(list, judged._share(task.together, SimpleNamespace(index=0, count=1)))
    )
    assert sorted(i for share in shares for group in share for i in group) == list(range(150))


def test_another_picture_of_the_same_caption_is_no_mistake():
    one = matcher()
    images, words = torch.randn(3, 3, 8, 8), one.words([CAPTIONS[0], CAPTIONS[0], CAPTIONS[1]])
    task = Contrast(one, Batch(images, words=words))
    three = task.losses(Batch(images, words=words), Draws(0, 0, 3))
    for index in (0, 1):  # each is told from the third alone
        pair = Batch(images[[index, 2]], words=words[[index, 2]])
        u, w, scale = one.network(pair.images, pair.words)
        alone = sum(cross_entropy(scale * (it @ other.T)[:1], torch.tensor([0])) for it, other in ((u, w), (w, u))) / 2
        assert torch.allclose(three[index], alone, atol=1e-5)


def test_it_learns_which_caption_belongs_to_which_picture(tmp_path):
    run = train(tmp_path / "run", **{"training.images": 3_000})
    clip = kakusan.load_clip(run, device="cpu")
    real = pictures(5).images.float() / 127.5 - 1
    cosines = clip.similarity(real, CAPTIONS)
    assert torch.equal(cosines.argmax(1), torch.arange(5))
    assert torch.equal(cosines.argmax(0), torch.arange(5))
    assert clip.ranked(real, "a white picture")[0] == 4
    assert torch.allclose(clip.agreement(real, CAPTIONS), cosines.diagonal(), atol=1e-6)
    losses = [line["held_out_loss"] for line in run.metrics() if "held_out_loss" in line]
    assert losses[-1] < 1


def test_pictures_without_a_caption_are_left_out_of_what_is_learned_and_held_out(tmp_path):
    some = pictures()
    captions = tuple("" if i % 3 == 0 else caption for i, caption in enumerate(some.captions))
    run = train(tmp_path / "run", ImageSet(some.images, captions=captions, name="shades"))
    log = (run.path / "log.txt").read_text()
    assert "15 images without a caption: left out, since a CLIP has nothing to tell them by" in log
    assert "learns 25 images" in log  # five of the other 30 are held out
    assert run.checkpoint().state()["epoch"] == 30
    going_on = ImageSet(some.images, captions=captions, name="shades")
    kakusan.train(data=going_on, resume=run, images=120, show=False)


def test_layers_that_are_computed_again_learn_the_same(tmp_path):
    kept = train(tmp_path / "kept")
    again = train(tmp_path / "again", **{"training.activation_checkpointing": True})
    ours, theirs = (kakusan.load_clip(it, device="cpu").network.state_dict() for it in (kept, again))
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name])


def test_going_on_equals_never_having_stopped(tmp_path):
    train(tmp_path / "whole", **{"training.images": 120})
    train(tmp_path / "cut", **{"training.images": 60})
    kakusan.train(data=pictures(), resume=tmp_path / "cut", images=120, show=False)
    assert_same(Run.open(tmp_path / "whole"), Run.open(tmp_path / "cut"))


def test_transformers_gives_the_same_vectors():
    pytest.importorskip("transformers")
    one = matcher()
    images, words = torch.randn(3, 3, 8, 8), one.words([*CAPTIONS[:2], ""])
    theirs = clip_to_transformers(one.network)
    back = clip_from_transformers(theirs)
    with torch.no_grad():
        out = theirs(input_ids=words, pixel_values=images)
        u, w, scale = one.network(images, words)
        assert (u - out.image_embeds).abs().max() <= 1e-5
        assert (w - out.text_embeds).abs().max() <= 1e-5
        assert torch.allclose(scale * u @ w.T, out.logits_per_image, atol=1e-4)
        assert torch.equal(back(images, words)[0], u)
        assert torch.equal(back(images, words)[1], w)


def test_a_gradient_leads_to_the_picture(tmp_path):
    one = matcher()
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    one.agreement(images, CAPTIONS[:2]).sum().backward()
    assert images.grad.abs().max() > 0


def test_a_run_tells_of_itself(tmp_path, capsys):
    run = train(tmp_path / "run")
    assert "clip with" in (run.path / "log.txt").read_text()
    assert list(run.samples_path.glob("*.png"))
    assert "contrast" in run.config_path.read_text()
    assert "schedule:" not in run.config_path.read_text()
    assert main(["info", str(run.path)]) == 0
    assert main(["report", str(run.path)]) == 0
    page = (run.path / "report.html").read_text()
    assert "No checkpoint" not in page
    assert "Noise schedule" not in page
    small = ("--data.held_out", "0", "--training.batch_size", "8", "--network.image_layers", "1", "--text.layers", "1")
    assert main(["plan", "shapes-clip", "--data.source", str(captioned(tmp_path / "data")), *small]) == 0


def captioned(folder):
    """A folder of pictures, each with its caption beside it."""
    folder.mkdir()
    for index in range(24):
        save(folder / f"{index}.png", torch.full((3, 32, 32), index / 12 - 1))
        (folder / f"{index}.txt").write_text(CAPTIONS[index % 5])
    return folder


@pytest.mark.parametrize(
    ("data", "more", "said"),
    [
        (
            ImageSet(pictures().images, captions=("grey",) * 45),
            {},
            "a CLIP tells captions apart, and there is one only",
        ),
        (ImageSet(pictures().images, name="bare"), {}, "a CLIP needs captions, and python:bare has none"),
        (
            ImageSet(pictures().images[..., :6], captions=pictures().captions),
            {},
            "a CLIP sees square pictures, not 6×8",
        ),
        (pictures(), {"text.length": 3}, "a CLIP tells captions apart, and there is one only, 'a black picture'"),
        (None, {"network.patch": 3}, "squares of 3 pixels do not fit pictures of 8"),
        (None, {"training.microbatch": 5}, "would part a batch whose pairs are told apart together"),
        (None, {"objective": {"kind": "denoising"}}, "a network of kind clip cannot learn the objective denoising"),
        (None, {"data.latent": "runs/a"}, "data.latent is for what learns in latents: a CLIP sees pictures"),
        (None, {"schedule.steps": 10}, "schedule says nothing to a CLIP, which knows no noise"),
    ],
)
def test_what_a_clip_cannot_learn_is_refused(tmp_path, data, more, said):
    with pytest.raises(KakusanError, match=said):
        train(tmp_path / "run", data, **more)


def test_a_clip_draws_nothing(tmp_path):
    run = train(tmp_path / "run")
    with pytest.raises(KakusanError, match=r"trained a CLIP, which kakusan.load_clip returns"):
        kakusan.load(run)
    with pytest.raises(KakusanError, match="trained no autoencoder"):
        api.load_autoencoder(run)


def test_another_run_is_no_clip(tmp_path):
    run = kakusan.train(
        data=pictures(), run=tmp_path / "run", show=False, overrides={"network.channels": (8,), "training.images": 8}
    )
    with pytest.raises(KakusanError, match="trained no CLIP"):
        kakusan.load_clip(run)
