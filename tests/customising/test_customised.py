"""What learns of a pipeline: how much, from what, and by the very loss of plain diffusers."""

import math

import pytest
import torch

from kakusan import customising
from kakusan.customising.likeness import alike
from kakusan.customising.words import Extended
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.objective import TimeSampling
from kakusan.seeds import Draws
from kakusan.stable_diffusion import readers
from kakusan.training.tasks.customising import Customising
from kakusan.training.validation import hold_out
from tests.customising.scenes import diamonds, settings

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("peft")
CPU = torch.device("cpu")


@pytest.fixture
def source(tmp_path):
    return diamonds(tmp_path / "images")


def prepared(preset, source, **changes):
    return customising.prepared(settings(preset, source, **changes), CPU, None, show=False)


def refused(preset, source, **changes):
    with pytest.raises(KakusanError) as caught:
        prepared(preset, source, **changes)
    return str(caught.value)


@pytest.mark.parametrize("rank", [1, 3])
def test_a_lora_has_as_many_weights_as_its_rank_says(source, rank):
    made = prepared("lora", source, network__rank=rank)
    unet = made.learned.base.pipe.unet
    layers = [it for name, it in unet.named_modules() if name.endswith(("to_q", "to_k", "to_v", "to_out.0"))]
    assert made.learned.parameters == sum(rank * (it.in_features + it.out_features) for it in layers)
    share = made.learned.parameters / made.learned.all_parameters
    assert any(f"trains {made.learned.parameters:,} of" in it and f"({share:.2%})" in it for it in made.feed.remarks)


def test_text_encoders_learn_where_that_is_asked_for(source):
    alone, both = (prepared("lora", source, network__text_encoder=it).learned for it in (False, True))
    names = {name.partition(".")[0] for name, _ in both.network.named_parameters()}
    assert names == {"unet", "text_encoder"}
    assert both.parameters > alone.parameters


def plainly(learned, batch, draws, offset=0.0):
    """Returns the losses as diffusers' own training script has them, and their gradient in what learns."""
    pipe = learned.base.pipe
    chain, steps = pipe.scheduler, pipe.scheduler.config.num_train_timesteps
    quantiles = TimeSampling(stratified=True).quantiles(draws.count, draws.generator("times"))
    times = steps - 1 - (quantiles * steps).long()
    noise = draws.normal("noise", batch.images.shape[1:])
    noise = noise + offset * draws.normal("noise offset", (batch.images.shape[1], 1, 1))
    noisy = chain.add_noise(batch.images, noise, times)
    words = [learned.prompts[label] for label in batch.labels]
    told = pipe.encode_prompt(words, CPU, 1, False)[0]
    found = pipe.unet(noisy, times, encoder_hidden_states=told).sample
    target = chain.get_velocity(batch.images, noise, times)
    return (found - target).square().flatten(1).mean(1), times


@pytest.mark.parametrize("preset", ["lora", "dreambooth", "textual-inversion"])
def test_losses_and_gradients_are_those_of_plain_diffusers(source, preset):
    made = prepared(preset, source, objective__noise_offset=0.1)
    learned = made.learned
    for name, weight in learned.network.named_parameters():
        if "lora_B" in name:  # which is nothing at the beginning, and then has no effect
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    draws = Draws(0, 0, 3)
    batch = made.feed.batches(draws, CPU)
    ours = Customising(learned).losses(batch, draws)
    theirs, _ = plainly(learned, batch, draws, 0.1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    weights = list(learned.network.parameters())
    pairs = zip(torch.autograd.grad(ours.sum(), weights), torch.autograd.grad(theirs.sum(), weights), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_min_snr_weighs_times_as_diffusers_does(source):
    from diffusers.training_utils import compute_snr

    plain, weighed = (prepared("lora", source, objective__min_snr=it) for it in (None, 5.0))
    draws = Draws(0, 0, 3)
    batch = plain.feed.batches(draws, CPU)
    _, times = plainly(plain.learned, batch, draws)
    snr = compute_snr(plain.learned.base.pipe.scheduler, times)
    ratio = snr.clamp(max=5) / (snr + 1)  # of v
    one, other = (Customising(it.learned).losses(batch, draws) for it in (plain, weighed))
    torch.testing.assert_close(other, one * ratio, rtol=1e-4, atol=1e-6)


def test_images_of_the_kind_count_as_much_as_asked(source):
    changes = {
        "objective__class_prompts": ("a red star",),
        "objective__prior_images": 2,
        "objective__prior_weight": 0.25,
    }
    made = prepared("dreambooth", source, **changes)
    assert made.learned.prompts == ("a red rhombus", "a red star")
    assert made.prior.shape == (2, 3, 32, 32)
    draws = Draws(0, 0, 4)
    batch = made.feed.batches(draws, CPU)
    assert batch.labels.tolist() == [0, 1, 0, 1]
    theirs, _ = plainly(made.learned, batch, draws)
    expected = theirs * torch.tensor([1, 0.25, 1, 0.25])
    torch.testing.assert_close(Customising(made.learned).losses(batch, draws), expected, atol=1e-5, rtol=1e-4)


def test_a_safety_checker_has_no_say_in_what_is_learned(source, tmp_path):
    from tests.pipelines import checked, pipeline

    checked(pipeline("sd15")).save_pretrained(tmp_path / "model")
    kept = {"objective__class_prompts": ("a red star",), "objective__prior_images": 2}
    made = prepared("dreambooth", source, network__model=str(tmp_path / "model"), **kept)
    assert all(image.float().std() > 1 for image in made.prior)  # which it would have made black
    assert made.learned.base.pipe.safety_checker is not None  # and a whole pipeline is written with it


def test_what_is_kept_out_is_of_ones_own_images(source):
    kept = {"objective__class_prompts": ("a red star",), "objective__prior_images": 6}
    made = prepared("dreambooth", source, data__held_out=2, **kept)
    rest, judged = hold_out(made.feed.batches, 2, 0, 4)
    assert len(judged) == 2
    assert rest.numbers.tolist()[1:] == [3, 4, 5, 6, 7, 8]
    with pytest.raises(KakusanError, match="must be below the 3 images"):
        hold_out(made.feed.batches, 3, 0, 4)
    assert "with 6 prompts each is learned by another" in refused("textual-inversion", source, data__held_out=1)


def test_dreambooth_without_images_of_the_kind_says_what_that_means(source):
    assert any("nothing keeps it from forgetting" in it for it in prepared("dreambooth", source).feed.remarks)


def test_a_new_word_leaves_all_others_as_they_are(source):
    made = prepared("textual-inversion", source, network__vectors=2, network__begun_with="circle")
    ((tokenizer, encoder),) = readers(made.learned.base.pipe)
    extended = encoder.get_input_embeddings()
    assert isinstance(extended, Extended)
    count = extended.known.num_embeddings
    assert tokenizer.convert_tokens_to_ids(["<new>", "<new>_1"]) == [count, count + 1]
    numbers = torch.tensor([[0, 5, count, count + 1]])
    assert torch.equal(extended(numbers)[0, :2], extended.known.weight[[0, 5]])
    assert torch.equal(extended(numbers)[0, 2:], extended.new.weight)
    begun = extended.known.weight[tokenizer("circle", add_special_tokens=False).input_ids].mean(0)
    torch.testing.assert_close(extended.new.weight, begun.expand(2, -1))
    assert [name for name, _ in made.learned.network.named_parameters()] == [
        "text_encoder.embeddings.token_embedding.new.weight"
    ]
    assert all("<new>" in it for it in made.learned.prompts)


def test_captions_say_what_each_image_shows(source):
    for number, caption in enumerate(("a red rhombus", "a rhombus", "a red rhombus")):
        (source / f"{number}.txt").write_text(caption)
    made = prepared("lora", source, objective__instance_prompts=())
    assert made.learned.prompts == ("a red rhombus", "a rhombus")
    assert made.feed.batches.labels.tolist() == [0, 1, 0]


def test_an_image_goes_with_each_of_several_prompts(source):
    made = prepared("lora", source, objective__instance_prompts=("a rhombus", "a red rhombus"))
    assert made.feed.batches.epoch == 6
    assert made.feed.batches.labels.tolist() == [0, 1] * 3


def test_images_of_a_mirrored_folder_are_seen_both_ways(source):
    made = prepared("lora", source, data__flip=True)
    seen = torch.cat([made.feed.batches(Draws(0, step, 3), CPU).images for step in range(8)])
    assert len(seen.round(decimals=1).flatten(1).unique(dim=0)) > 3


def test_half_precision_leaves_what_learns_in_float32(source):
    made = prepared("lora", source, training__dtype="bfloat16")
    assert made.learned.base.pipe.unet.conv_in.weight.dtype == torch.bfloat16
    assert {it.dtype for it in made.learned.network.parameters()} == {torch.float32}


def test_what_does_not_fit_is_refused(source, tmp_path):
    assert "at most 96, the width of" in refused("lora", source, network__rank=200)
    assert "'nowhere'" in refused("lora", source, network__layers=("nowhere",))
    assert "is a GroupNorm, and low-rank matrices" in refused("lora", source, network__layers=("norm1",))
    for token in ("circle", "circle</w>"):
        assert f"{token!r} is a word" in refused("textual-inversion", source, network__token=token)
    assert "there is no model" in refused("lora", source, network__model="nowhere")
    assert "nobody says what 3 images" in refused("lora", source, objective__instance_prompts=())
    assert "multiple of 8" in refused("lora", source, data__size=30)


def test_a_broken_image_among_few_is_refused_by_name(source):
    (source / "broken.png").write_bytes(b"no picture")
    assert "broken.png" in refused("lora", source)


def test_settings_that_contradict_each_other_are_refused(source):
    for changes, said in (
        ({"objective__instance_prompts": ("a rhombus",)}, "does not use the word '<new>'"),
        ({"objective__class_prompts": ("a star",)}, "a new word changes none"),
    ):
        with pytest.raises(KakusanError, match=said):
            settings("textual-inversion", source, **changes)
    with pytest.raises(KakusanError, match="say what it is called"):
        settings("lora", source, objective__prior=str(source))


def test_an_image_set_of_python_is_learned_from_as_it_is(source):
    pixels = torch.arange(32, dtype=torch.uint8).expand(2, 3, 32, 32)
    images = ImageSet(pixels, captions=("a black square", "a black square"))
    made = customising.prepared(settings("lora", source, objective__instance_prompts=()), CPU, images, show=False)
    assert made.learned.prompts == ("a black square",)
    assert any("nearly the same picture" in it for it in made.feed.remarks)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((2, 1, 32, 32), "have 1 channel, and"), ((2, 3, 32, 40), "40×32 pixels, and squares"), ((2, 3, 30, 30), "of 8")],
)
def test_an_image_set_that_does_not_fit_is_refused(source, shape, said):
    images = ImageSet(torch.zeros(shape, dtype=torch.uint8))
    with pytest.raises(KakusanError, match=said):
        customising.prepared(settings("lora", source), CPU, images, show=False)


def test_of_pictures_that_are_alike_none_is_lost():
    """The first is like the second and the second like the third, yet the first is not like the third."""
    dots = torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(0)).double() - 127.5
    between = [dots[0] * math.cos(turn) + dots[1] * math.sin(turn) for turn in (0.0, 0.15, 0.3, 1.5)]
    images = (torch.stack(between) / 2 + 127.5).clamp(0, 255).to(torch.uint8)
    assert alike(images[[0, 2]]) == []
    assert alike(images) == [[0, 1, 2]]
